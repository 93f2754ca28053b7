// Theory of operation. Whoever appends holds the lock of the folder. What the next one needs to know without reading
// all of it (the peaks of the tree, where the signed records end, which runs have not ended) stands in `state`: it
// counts only when the identity signed it and it is of the tree that `checkpoint` signs, and else everything is read
// again. All of the folder may have been changed by others since: nothing becomes signed that was not signed or does
// not prove itself. Nothing is fsynced, for a start must not wait for a disk: after a power cut the index may be
// damaged. It is then set aside, not repaired, a new one begins with what the old one had signed, and people are told.
#include <agentrun/journal/index.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/regular.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "journal/format/encode.h"
#include "journal/format/lines.h"
#include "journal/format/note.h"
#include "journal/format/run_files.h"
#include "journal/index/index_files.h"

namespace agentrun::journal {

namespace {

constexpr std::string_view state_version = "agent-run/index-state/v1";
constexpr std::size_t max_broken = 4000;  // of a checkpoint that is copied as it is
constexpr std::int64_t lock_patience_ns = 10'000'000'000;

bool is_still_there(const Fd& folder, const std::string& path) {
  struct stat held {};
  struct stat named {};
  check(::fstat(folder.get(), &held), "fstat", path);
  return ::stat(path.c_str(), &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

Fd locked_folder(const std::string& path) {
  const std::int64_t deadline = boot_clock_ns() + lock_patience_ns;
  for (;;) {
    Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) {
      make_directories(path, 0700);
      folder = files::open_directory(path);
    }
    while (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) throw_errno("flock", path);
      if (boot_clock_ns() > deadline)
        throw Refusal(path + " is locked by another process", "end what holds it: lslocks");
      const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
      ::nanosleep(&pause, nullptr);
    }
    if (is_still_there(folder, path)) return folder;  // who had the lock may have set the index aside
  }
}

std::string checkpoint_words(const Before& before) {
  return before.origin + " " + std::to_string(before.size) + " " + base64(before.root);
}

/// The index, locked.
class Index {
 public:
  Index(const std::filesystem::path& state_directory, const Key& identity)
      : state_(state_directory), key_(identity.renamed(identity_name(identity) + "/" + index::name)) {
    enter();
    if (!load() && !rebuild()) restart();
    absorb_tail();
  }
  /// At the end of a run. What it signed at its beginning is `head`: what is here must continue that.
  Index(const std::filesystem::path& state_directory, const Key& identity, const IndexHead& head)
      : state_(state_directory), key_(identity.renamed(identity_name(identity) + "/" + index::name)) {
    enter();
    if (!resume(head)) {
      if (!load() && !rebuild()) restart();
      continues_ = broken_.empty() && continues(head);
    }
    absorb_tail();
  }

  void append(Record& record) { write(record.line()); }
  /// Signs what is there. The head is what this process may believe of the index later.
  IndexHead store() {
    std::string text = std::string(state_version) + "\n" + key_.name() + "\n" + std::to_string(tree_.size()) + " " +
                       std::to_string(offset_) + "\n";
    for (const Hash& peak : tree_.peaks()) text += "peak " + base64(peak) + "\n";
    for (const OpenRun& run : open_) text += "open " + run.id + " " + run.first_key + "\n";
    if (last_) text += "last " + checkpoint_words(*last_) + "\n";
    const std::array<const Key*, 1> keys{&key_};
    overwrite(index::state, sign_note(text, keys));
    const Checkpoint head{.origin = key_.name(), .size = tree_.size(), .root = tree_.root()};
    const std::string note = sign_note(checkpoint_text(head), keys);
    overwrite(files::checkpoint, note);
    return {.note = note, .tree = tree_, .offset = offset_, .open = open_, .last = last_, .since = boot_clock_ns()};
  }
  /// Runs that began and did not end.
  [[nodiscard]] const std::vector<OpenRun>& open_runs() const { return open_; }
  [[nodiscard]] const std::optional<Before>& last() const { return last_; }
  /// The folder where a damaged one was set aside just now; else empty.
  [[nodiscard]] const std::string& broken() const { return broken_; }
  /// False when records are gone that were there when the run began.
  [[nodiscard]] bool continues() const { return continues_; }

 private:
  void enter() {
    folder_ = locked_folder((state_ / index::name).string());
    // What is no file in the place of one was not made by agent-run: the whole is damaged, and set aside as it is.
    const auto is_none = [&](const char* file) {
      return files::exists(folder_, file) && !files::try_regular(folder_, file);
    };
    if (is_none(files::segment(0).c_str()) || is_none(files::checkpoint)) return restart();
    // `state` is derived: in the place of it nothing is worth keeping that can be removed.
    if (is_none(index::state) && ::unlinkat(folder_.get(), index::state, 0) != 0 &&
        ::unlinkat(folder_.get(), index::state, AT_REMOVEDIR) != 0)
      return restart();
    entries_ = open_regular(folder_.get(), files::segment(0), O_RDWR | O_APPEND | O_CREAT);
  }
  [[nodiscard]] std::int64_t bytes() const {
    struct stat st {};
    check(::fstat(entries_.get(), &st), "fstat", "index");
    return st.st_size;
  }

  void write(std::string_view line) {
    const ssize_t n =
        check(retry_eintr([&] { return ::write(entries_.get(), line.data(), line.size()); }), "write", "index");
    if (static_cast<std::size_t>(n) != line.size()) {
      (void)!::ftruncate(entries_.get(), offset_);
      throw SysError(ENOSPC, "write", "index");
    }
    take(line.substr(0, line.size() - 1));
  }

  /// In place: renaming over a file makes ext4 write it out at once (auto_da_alloc), which a start would wait for.
  /// Readers have the lock, a kill does not come inside a write(2), and a power cut is seen by the signature.
  void overwrite(const char* file, std::string_view text) const {
    const Fd fd = open_regular(folder_.get(), file, O_WRONLY | O_CREAT);
    const ssize_t n = check(::pwrite(fd.get(), text.data(), text.size(), 0), "write", file);
    if (static_cast<std::size_t>(n) != text.size()) throw SysError(ENOSPC, "write", file);
    check(::ftruncate(fd.get(), n), "ftruncate", file);
  }

  /// A file of the folder; what is none (a pipe, a link, too long) has nothing to say.
  [[nodiscard]] std::string content(const char* file, std::size_t limit) const {
    try {
      return files::try_read(folder_, file, limit).value_or("");
    } catch (const SysError&) {
      return {};
    }
  }
  /// The text of a file that is one note, signed by the identity.
  [[nodiscard]] std::optional<std::string> signed_text(const char* file) const {
    const std::string bytes = content(file, max_note);
    std::string_view rest = bytes;
    const auto note = take_note(rest);
    if (!note || signed_by(*note, key_) != Signed::valid) return std::nullopt;
    return std::string(note->text);
  }
  [[nodiscard]] std::optional<Checkpoint> signed_head() const {
    const auto text = signed_text(files::checkpoint);
    auto head = text ? parse_checkpoint(*text) : std::nullopt;
    return head && head->origin == key_.name() ? head : std::nullopt;
  }

  /// From memory, when nobody signed since.
  bool resume(const IndexHead& head) {
    if (content(files::checkpoint, max_note) != head.note || bytes() < head.offset) return false;
    tree_ = head.tree;
    offset_ = head.offset;
    open_ = head.open;
    last_ = head.last;
    return true;
  }

  /// Whether the records after `head` lead from it to what is here: so the records before it need not be read. An index
  /// that was begun after it (the one before was damaged) was signed by somebody who said so.
  [[nodiscard]] bool continues(const IndexHead& head) const {
    if (head.tree.size() > tree_.size() || head.offset > offset_) return false;
    Tree tree = head.tree;
    std::string text(static_cast<std::size_t>(offset_ - head.offset), '\0');
    const ssize_t n = check(retry_eintr([&] { return ::pread(entries_.get(), text.data(), text.size(), head.offset); }),
                            "read", "index");
    std::string_view rest = std::string_view(text).substr(0, static_cast<std::size_t>(n));
    while (const auto line = take_line(rest)) tree.add(leaf_hash(*line));
    return tree.size() == tree_.size() && tree.root() == tree_.root();
  }

  /// From `state`, when that is signed and of what is signed.
  bool load() {
    forget();
    const auto text = signed_text(index::state);
    const auto head = signed_head();
    return text && head && parse_state(*text) && tree_.size() == head->size && tree_.root() == head->root &&
           offset_ <= bytes();
  }

  bool parse_state(std::string_view text) {
    if (take_line(text) != state_version || take_line(text) != key_.name()) return false;
    const auto first = take_line(text);
    if (!first) return false;
    const std::size_t space = first->find(' ');
    const auto size = decode_decimal(first->substr(0, space));
    const auto offset = space == std::string_view::npos ? std::nullopt : decode_decimal(first->substr(space + 1));
    if (!size || !offset) return false;
    std::vector<Hash> peaks;
    while (const auto line = take_line(text)) {
      const std::string_view value = line->substr(std::min<std::size_t>(5, line->size()));
      if (line->starts_with("peak ")) {
        if (decode_base64(value, peaks.emplace_back()) != sizeof(Hash)) return false;
      } else if (line->starts_with("open ")) {
        const std::size_t end = std::min(value.find(' '), value.size());
        open_.push_back(
            {std::string(value.substr(0, end)), std::string(value.substr(std::min(end + 1, value.size())))});
      } else if (line->starts_with("last ")) {
        last_ = index::parse_words(value);
      }
    }
    offset_ = static_cast<std::int64_t>(*offset);
    return tree_.restore(*size, std::move(peaks));
  }

  /// From the records, when they lead to what is signed. A new index has neither.
  bool rebuild() {
    forget();
    const auto head = signed_head();
    const bool unsigned_before = content(files::checkpoint, max_note).empty();
    LineReader lines(folder_);
    Line line;
    while ((!head || tree_.size() < head->size) && lines.next(line) && line.segment == 0) take(line.data);
    if (!head) return unsigned_before && tree_.size() == 0;
    return tree_.size() == head->size && tree_.root() == head->root && offset_ <= bytes();
  }

  /// What was appended by a process that died before it signed, or by somebody else: only what proves itself, and is
  /// news, is kept. All else goes before anything is signed.
  void absorb_tail() {
    const std::int64_t end = bytes();
    if (end > offset_) {
      const std::string tail = read_tail(end);
      check(::ftruncate(entries_.get(), offset_), "ftruncate", "index");
      std::string_view rest = tail;
      while (const auto line = take_line(rest)) {
        if (line->size() < max_record && is_news(*line)) write(std::string(*line) + "\n");
      }
    }
    if (tree_.size() == 0) begin();
  }
  [[nodiscard]] std::string read_tail(std::int64_t end) const {
    std::string tail(static_cast<std::size_t>(std::min<std::int64_t>(end - offset_, index::max_tail)), '\0');
    const ssize_t n =
        check(retry_eintr([&] { return ::pread(entries_.get(), tail.data(), tail.size(), offset_); }), "read", "index");
    tail.resize(static_cast<std::size_t>(n));
    return tail;
  }
  [[nodiscard]] bool is_news(std::string_view line) const {
    const std::string run = text_field(line, "run").value_or("");
    switch (index::proof_of(line, key_, state_)) {
      case index::Proof::none:
        return false;
      case index::Proof::closing:
        return std::ranges::find(open_, run, &OpenRun::id) != open_.end();
      case index::Proof::opening:
        return !knows(run);
    }
    return false;
  }
  [[nodiscard]] bool knows(const std::string& run) const {
    LineReader lines(folder_);
    for (Line line; lines.next(line) && line.segment == 0 && line.index < tree_.size();) {
      if (text_field(line.data, "run") == run) return true;
    }
    return false;
  }

  /// The damaged one stays for who wants to look.
  void restart() {
    broken_checkpoint_ = content(files::checkpoint, max_broken);
    const std::string aside = std::string(index::aside_prefix) + new_run_id();
    std::filesystem::rename(state_ / index::name, state_ / aside);
    enter();  // the old folder's lock goes with its descriptor; who waits for it finds the new one by its name
    forget();
    broken_ = aside;
  }

  void begin() {
    Record record;
    record.begin();
    if (!broken_.empty()) record.text("broken", broken_).text("checkpoint", broken_checkpoint_);
    record.number("format", 1).text("origin", key_.name());
    index::times(record);
    record.text("type", "index.open").text("vkey", key_.vkey());
    append(record);
  }

  void forget() {
    tree_ = {};
    offset_ = 0;
    open_.clear();
    last_.reset();
  }

  /// One record, already in the file.
  void take(std::string_view line) {
    tree_.add(leaf_hash(line));
    offset_ += static_cast<std::int64_t>(line.size() + 1);
    const std::string type = text_field(line, "type").value_or("");
    const auto run = text_field(line, "run");
    if (!run) return;
    if (type == "run.open") {
      open_.push_back({*run, text_field(line, "vkey").value_or("")});
      return;
    }
    std::erase_if(open_, [&](const OpenRun& open) { return open.id == *run; });
    if (type == "run.close" || type == "journal.recovered") last_ = index::head_of(line);
  }

  std::filesystem::path state_;
  Key key_;
  Fd folder_, entries_;
  Tree tree_;
  std::int64_t offset_ = 0;
  std::vector<OpenRun> open_;
  std::optional<Before> last_;
  std::string broken_, broken_checkpoint_;
  bool continues_ = true;
};

/// The lock of a run's folder is held by its supervisor for as long as that lives.
enum class Fate : std::uint8_t { running, over, missing };
Fate fate_of(const std::filesystem::path& directory) {
  const Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return errno == ENOENT ? Fate::missing : Fate::over;
  return ::flock(folder.get(), LOCK_SH | LOCK_NB) == 0 ? Fate::over : Fate::running;
}

/// What the next start finds of a run that was broken off. What does not verify is not signed: only that it was found
/// so.
void recover(Index& index, const std::filesystem::path& state_directory, const Key& identity, const OpenRun& run) {
  const auto directory = state_directory / files::runs / run.id;
  const Fate fate = fate_of(directory);
  if (fate == Fate::running) return;
  const std::string origin = identity_name(identity) + "/" + run.id;
  Record record;
  record.begin();
  if (fate == Fate::missing) {
    record.text("origin", origin).text("run", run.id);
    index::times(record);
    record.text("type", "run.missing");
    return index.append(record);
  }
  const Anchor began{.where = "run.open", .origin = origin, .first_key = run.first_key};
  Report report{.status = Status::tampered};
  std::string why;
  try {
    report = verify(directory, std::vector<std::string>{identity.vkey()}, {.anchors = {&began, 1}});
  } catch (const std::exception& e) {  // a pipe in place of a file, a damaged note: no reason to begin no run any more
    why = e.what();
  }
  if (why.empty() && !report.findings.empty())
    why = report.findings[0].rule + " " + report.findings[0].where + ": " + report.findings[0].message;
  const bool sound = report.status == Status::complete || report.status == Status::incomplete;
  if (!sound) record.text("fault", why);
  record.text("origin", origin);
  if (sound) record.text("root", base64(report.root));
  record.text("run", run.id);
  if (sound) record.word("signed", report.signed_records).word("size", report.records);
  index::times(record);
  if (sound) record.word("torn_bytes", report.torn_bytes);
  record.text("type", "journal.recovered");
  if (sound) record.word("unsigned", report.records - std::min(report.records, report.signed_records));
  index.append(record);
}

std::string notice_of(const Index& index, const std::filesystem::path& state_directory) {
  if (index.broken().empty()) return {};
  return "the index of journals was damaged and is kept as " + (state_directory / index.broken()).string() +
         "; a new one begins, and what was removed before can no longer be told: agent-run journal verify --index";
}

}  // namespace

IndexOpened index_open(const std::filesystem::path& state_directory, const Key& identity, const Run& run) {
  Index index(state_directory, identity);
  const std::string id = run.directory().filename().string();
  const std::vector<OpenRun> unfinished = index.open_runs();
  for (const OpenRun& other : unfinished) recover(index, state_directory, identity, other);
  IndexOpened opened{.before = index.last(), .head = {}, .notice = notice_of(index, state_directory)};
  Record record;
  record.begin();
  record.text("certificate", run.certificate()).text("origin", run.origin()).number("pid", ::getpid()).text("run", id);
  index::times(record);
  record.text("type", "run.open").text("vkey", run.vkeys().at(1));
  index.append(record);
  opened.head = index.store();
  return opened;
}

std::string index_close(const std::filesystem::path& state_directory, const Key& identity, const Run& run,
                        std::string_view closing_note, const IndexHead& held) {
  std::string_view rest = closing_note;
  const auto note = take_note(rest);
  const auto head = note ? parse_checkpoint(note->text) : std::nullopt;
  if (!head) throw Refusal("not a checkpoint");
  Index index(state_directory, identity, held);
  Record record;
  record.begin();
  record.text("checkpoint", closing_note);
  if (!index.continues()) record.text("index_before", held.note);
  record.text("origin", run.origin()).text("root", base64(head->root));
  record.text("run", run.directory().filename().string()).word("size", head->size);
  index::times(record);
  record.text("type", "run.close");
  index.append(record);
  (void)index.store();
  if (!index.broken().empty()) return notice_of(index, state_directory);
  return index.continues() ? ""
                           : "the index of journals was changed while the run went on, which its record now says: "
                             "agent-run journal verify --index";
}

void index_pruned(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                  std::uint64_t first) {
  Index index(state_directory, identity);
  if (!index.broken().empty()) throw Refusal(notice_of(index, state_directory));
  Record record;
  record.begin();
  record.word("first", first).text("origin", identity_name(identity) + "/" + run_id).text("run", run_id);
  index::times(record);
  record.text("type", "run.pruned");
  index.append(record);
  (void)index.store();
}

}  // namespace agentrun::journal
