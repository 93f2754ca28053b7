// Theory of operation. Whoever appends holds the lock of the folder. What the next one needs to know without reading all of
// it (the peaks of the tree, where the signed records end, which runs have not ended) stands in `state`, which is derived:
// it counts only when it leads to the root that `checkpoint` signs, and else everything is read again. Nothing is fsynced,
// for a start must not wait for a disk: after a power cut the index may be damaged. It is then set aside, not repaired, and
// a new one begins with what the old one had signed.
#include <agentrun/journal/index.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "journal/encode.h"
#include "journal/files.h"
#include "journal/index_files.h"
#include "journal/lines.h"
#include "journal/note.h"

namespace agentrun::journal {

namespace {

constexpr std::size_t max_state = 4U << 20;
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
      if (boot_clock_ns() > deadline) throw Refusal(path + " is locked by another process", "end what holds it: lslocks");
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
  /// Whether the signature of what is there is checked: it takes as long as all the rest, and between the beginning of a run
  /// and its end a root that fits is enough.
  enum class Check : std::uint8_t { root, signature };
  Index(const std::filesystem::path& state_directory, const Key& identity, Check check_level)
      : state_(state_directory), check_(check_level), key_(identity.renamed(identity_name(identity) + "/" + index::name)) {
    enter();
    if (!load()) {
      check_ = Check::signature;
      if (!rebuild()) restart();
    }
    absorb_tail();
  }

  void append(Record& record) {
    const std::string_view line = record.line();
    const ssize_t n = check(retry_eintr([&] { return ::write(entries_.get(), line.data(), line.size()); }), "write", "index");
    if (static_cast<std::size_t>(n) != line.size()) {
      (void)!::ftruncate(entries_.get(), offset_);
      throw SysError(ENOSPC, "write", "index");
    }
    take(line.substr(0, line.size() - 1));
  }
  void store() {
    std::string text = std::to_string(tree_.size()) + " " + std::to_string(offset_) + "\n";
    for (const Hash& peak : tree_.peaks()) text += "peak " + base64(peak) + "\n";
    for (const std::string& id : open_) text += "open " + id + "\n";
    if (last_) text += "last " + checkpoint_words(*last_) + "\n";
    overwrite(index::state, text + "end\n");
    const std::array<const Key*, 1> keys{&key_};
    const Checkpoint head{.origin = key_.name(), .size = tree_.size(), .root = tree_.root()};
    overwrite(files::checkpoint, sign_note(checkpoint_text(head), keys));
  }
  /// Runs that began and did not end.
  [[nodiscard]] const std::vector<std::string>& open_runs() const { return open_; }
  [[nodiscard]] const std::optional<Before>& last() const { return last_; }

 private:
  void enter() {
    folder_ = locked_folder((state_ / index::name).string());
    const int flags = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    entries_.reset(check(::openat(folder_.get(), files::segment(0).c_str(), flags, 0600), "open", "index"));
  }

  /// In place: renaming over a file makes ext4 write it out at once (auto_da_alloc), which a start would wait for. Readers
  /// have the lock, a kill does not come inside a write(2), and a power cut is seen by the signature.
  void overwrite(const char* file, std::string_view text) const {
    const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    const Fd fd(check(::openat(folder_.get(), file, flags, 0600), "open", file));
    const ssize_t n = check(::pwrite(fd.get(), text.data(), text.size(), 0), "write", file);
    if (static_cast<std::size_t>(n) != text.size()) throw SysError(ENOSPC, "write", file);
    check(::ftruncate(fd.get(), n), "ftruncate", file);
  }

  std::optional<Checkpoint> signed_head() {
    const auto content = files::try_read(folder_, files::checkpoint, max_note);
    std::string_view rest = content ? std::string_view(*content) : std::string_view();
    const auto note = take_note(rest);
    if (!note || (check_ == Check::signature && signed_by(*note, key_) != Signed::valid)) return std::nullopt;
    auto head = parse_checkpoint(note->text);
    return head && head->origin == key_.name() ? head : std::nullopt;
  }

  /// From `state`, when that agrees with what is signed.
  bool load() {
    const auto text = files::try_read(folder_, index::state, max_state);
    const auto head = signed_head();
    if (!text || !head || !parse_state(*text)) return false;
    struct stat st {};
    check(::fstat(entries_.get(), &st), "fstat", "index");
    return tree_.size() == head->size && tree_.root() == head->root && offset_ <= st.st_size;
  }

  bool parse_state(std::string_view text) {
    const auto first = take_line(text);
    if (!first) return false;
    const std::size_t space = first->find(' ');
    const auto size = decode_decimal(first->substr(0, space));
    const auto offset = space == std::string_view::npos ? std::nullopt : decode_decimal(first->substr(space + 1));
    if (!size || !offset) return false;
    std::vector<Hash> peaks;
    for (auto line = take_line(text); line != "end"; line = take_line(text)) {
      if (!line) return false;
      const std::string_view value = line->substr(std::min<std::size_t>(5, line->size()));
      if (line->starts_with("peak ")) {
        if (decode_base64(value, peaks.emplace_back()) != sizeof(Hash)) return false;
      } else if (line->starts_with("open ")) {
        open_.emplace_back(value);
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
    const bool unsigned_before = !files::try_open(folder_, files::checkpoint);
    LineReader lines(folder_);
    Line line;
    while ((!head || tree_.size() < head->size) && lines.next(line)) take(line.data);
    if (!head) return unsigned_before && tree_.size() == 0;
    return tree_.size() == head->size && tree_.root() == head->root;
  }

  /// What was appended by a process that died before it signed.
  void absorb_tail() {
    struct stat st {};
    check(::fstat(entries_.get(), &st), "fstat", "index");
    std::string tail(static_cast<std::size_t>(st.st_size - offset_), '\0');
    const ssize_t n = check(::pread(entries_.get(), tail.data(), tail.size(), offset_), "read", "index");
    tail.resize(static_cast<std::size_t>(n));
    std::string_view rest = tail;
    while (const auto line = take_line(rest)) take(*line);
    if (!rest.empty()) check(::ftruncate(entries_.get(), offset_), "ftruncate", "index");
    if (tree_.size() == 0) begin();
  }

  /// The damaged one stays for who wants to look.
  void restart() {
    const auto content = files::try_read(folder_, files::checkpoint, max_note);
    const std::string aside = std::string(index::name) + ".broken-" + new_run_id();
    std::filesystem::rename(state_ / index::name, state_ / aside);
    enter();  // the old folder's lock goes with its descriptor; who waits for it finds the new one by its name
    forget();
    broken_ = aside;
    broken_checkpoint_ = content.value_or("");
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
      open_.push_back(*run);
      return;
    }
    std::erase(open_, *run);
    if (type == "run.close" || type == "journal.recovered") last_ = index::head_of(line);
  }

  std::filesystem::path state_;
  Check check_;
  Key key_;
  Fd folder_, entries_;
  Tree tree_;
  std::int64_t offset_ = 0;
  std::vector<std::string> open_;
  std::optional<Before> last_;
  std::string broken_, broken_checkpoint_;
};

/// The lock of a run's folder is held by its supervisor for as long as that lives.
enum class Fate : std::uint8_t { running, over, missing };
Fate fate_of(const std::filesystem::path& directory) {
  const Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return errno == ENOENT ? Fate::missing : Fate::over;
  return ::flock(folder.get(), LOCK_SH | LOCK_NB) == 0 ? Fate::over : Fate::running;
}

void recover(Index& index, const std::filesystem::path& state_directory, const std::string& identity, const std::string& id) {
  const auto directory = state_directory / files::runs / id;
  const Fate fate = fate_of(directory);
  if (fate == Fate::running) return;
  Record record;
  record.begin();
  record.text("origin", identity + "/" + id);
  if (fate == Fate::missing) {
    record.text("run", id);
    index::times(record);
    record.text("type", "run.missing");
  } else {
    const index::Remains remains = index::examine(directory);
    record.text("root", base64(remains.root)).text("run", id).word("signed", remains.signed_records).word("size", remains.records);
    index::times(record);
    record.word("torn_bytes", remains.torn_bytes).text("type", "journal.recovered");
    record.word("unsigned", remains.records - std::min(remains.records, remains.signed_records));
  }
  index.append(record);
}

}  // namespace

std::optional<Before> index_open(const std::filesystem::path& state_directory, const Key& identity, const Run& run) {
  const std::string name = identity_name(identity);
  Index index(state_directory, identity, Index::Check::signature);
  const std::string id = run.directory().filename().string();
  const std::vector<std::string> unfinished = index.open_runs();
  for (const std::string& other : unfinished) recover(index, state_directory, name, other);
  const std::optional<Before> before = index.last();
  Record record;
  record.begin();
  record.text("origin", run.origin()).number("pid", ::getpid()).text("run", id);
  index::times(record);
  record.text("type", "run.open").text("vkey", run.vkeys().at(1));
  index.append(record);
  index.store();
  return before;
}

void index_close(const std::filesystem::path& state_directory, const Key& identity, const Run& run,
                 std::string_view closing_note) {
  std::string_view rest = closing_note;
  const auto note = take_note(rest);
  const auto head = note ? parse_checkpoint(note->text) : std::nullopt;
  if (!head) throw Refusal("not a checkpoint");
  Index index(state_directory, identity, Index::Check::root);
  Record record;
  record.begin();
  record.text("checkpoint", closing_note).text("origin", run.origin()).text("root", base64(head->root));
  record.text("run", run.directory().filename().string()).word("size", head->size);
  index::times(record);
  record.text("type", "run.close");
  index.append(record);
  index.store();
}

void index_pruned(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                  std::uint64_t first) {
  Index index(state_directory, identity, Index::Check::signature);
  Record record;
  record.begin();
  record.word("first", first).text("origin", identity_name(identity) + "/" + run_id).text("run", run_id);
  index::times(record);
  record.text("type", "run.pruned");
  index.append(record);
  index.store();
}

}  // namespace agentrun::journal
