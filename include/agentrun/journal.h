// The journal: records, tree, signed notes, sealing, verification. The only room that knows OpenSSL's signatures.
// Byte formats: agent-run-journal(5); RFC 6962 §2.1, RFC 8785, C2SP signed-note and tlog-checkpoint.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::journal {

using Hash = std::array<std::uint8_t, 32>;
Hash sha256(std::string_view bytes) noexcept;
/// Of all that a descriptor of a regular file holds, by pread(2). nullopt, with errno, when it cannot be read.
std::optional<Hash> sha256_file(const Fd& file) noexcept;
std::string hex(std::span<const std::uint8_t> bytes);
std::string base64(std::span<const std::uint8_t> bytes);  // RFC 4648 §4, with padding

// ---- records --------------------------------------------------------------------------------------------------------

inline constexpr std::size_t max_text = 4096;                // bytes of a text before it is cut
inline constexpr std::size_t max_list = 2048;                // bytes of all texts of a list together
inline constexpr std::size_t max_record = 16 * 1024;         // bytes of a line with its LF
inline constexpr std::int64_t max_number = (1LL << 53) - 1;  // RFC 8785 §3.2.2.3: what a double holds exactly

/// Writes one canonical JSON object (RFC 8785 by construction) into a buffer that it owns and reuses. Keys must be
/// plain ASCII and come in ascending order (checked: std::logic_error).
///
/// A text that is not UTF-8 goes to `<key>_b64` (RFC 4648 §4). A text is cut at 4096 bytes, at a character; also when
/// its escaped form takes more, or when the texts of the record take 14 KiB. A cut text is followed by `<key>_len`
/// (bytes) and
/// `<key>_sha256` of the whole. The extra members stand where the order of keys wants them. So the record of a decision
/// fits whatever the agent puts into its paths.
class Record {
 public:
  Record();
  void begin() noexcept;  // empties the buffer
  Record& text(std::string_view key, std::string_view value);
  Record& number(std::string_view key, std::int64_t value);  // outside ±(2^53−1): as a decimal string
  Record& word(std::string_view key, std::uint64_t value);   // 64-bit values: always a decimal string
  Record& boolean(std::string_view key, bool value);
  /// An array of strings. One element that is not UTF-8 sends all to `<key>_b64`. Over 2048 bytes together: cut, what
  /// follows is left out, and `<key>_len`, `<key>_sha256` are over all elements, each ended by a NUL (the form of
  /// /proc/<pid>/cmdline, proc(5)).
  Record& list(std::string_view key, std::span<const std::string> values);
  Record& raw(std::string_view key, std::string_view canonical_json);  // caller vouches
  /// The finished line with its LF, valid until begin(). Over 16 KiB: std::length_error.
  [[nodiscard]] std::string_view line();

 private:
  struct Late {  // a member that was born early: its key sorts after those that may still come
    std::string key;
    std::string json;
  };
  void put(char c) noexcept;
  void put(std::string_view bytes) noexcept;
  void start_member(std::string_view key);
  void put_key(std::string_view key);
  void put_late(std::string_view before);
  void add_late(std::string_view key, std::string_view suffix, std::string json);
  void add_cut(std::string_view key, std::size_t length, const Hash& hash);
  void text_slow(std::string_view key, std::string_view value);
  [[nodiscard]] std::size_t room_for_text() const noexcept;

  std::unique_ptr<char[]> buffer_;
  std::size_t size_ = 0;
  std::size_t key_at_ = 0;  // the last key written, inside buffer_
  std::size_t key_size_ = 0;
  std::size_t text_bytes_ = 0;
  bool overflow_ = false;
  bool finished_ = false;
  std::vector<Late> late_;  // ascending by key
};

/// A top-level member of a record's line, without its JSON quoting: nullopt when it is absent, of another type, or the
/// line is not canonical. `number_field` also takes the decimal strings of number() and word() that fit.
std::optional<std::string> text_field(std::string_view line, std::string_view key);
std::optional<std::int64_t> number_field(std::string_view line, std::string_view key);

/// What is promised about what was written: it survives kill -9 (in the page cache), or a power cut too (on the disk).
enum class Durability : std::uint8_t { written, synced };

/// What one process has appended, in memory that it shares with the sealer and with nobody else.
class Ledger;

/// What a process needs to append: Run::appender() gives it.
struct Entries {
  Fd segment;                        // O_APPEND descriptor of the one that is written
  Fd wake;                           // the sealer's, for when it should come before its time
  std::shared_ptr<Ledger> ledger{};  // null: nobody seals these entries
};

/// Appends lines to the open segment: one write(2) a record on an O_APPEND descriptor. Thread-safe.
class Appender {
 public:
  explicit Appender(Entries entries, Durability durability = Durability::written)
      : entries_(std::move(entries)), durability_(durability) {}
  /// 0, or the errno (a short write is EIO). `synced`: returns when the record is on the disk; threads that append at
  /// the same time share one fdatasync(2). After an error each further call gives that errno and writes nothing: behind
  /// half a record nothing may stand, and a failed fsync is not repeated (journal-format.md §4). Waits while the
  /// sealer is behind by some megabytes.
  [[nodiscard]] int append(std::string_view line) noexcept;
  /// The last records: from now on `append` returns when they are written, and settle() when all of them are on the
  /// disk. For who has nothing more to do that must wait for a record. By one thread, when no other appends.
  void defer() noexcept { deferred_ = true; }
  [[nodiscard]] int settle() noexcept;
  /// The other half of a rotation: lines go to `next` from now on. Returns when none is on its way to the old segment
  /// any more, so whoever was told of it may end that.
  void move_to(Fd next) noexcept;
  /// Nothing is written any more: returns when no line is on its way, and each further append() gives `stopped`.
  void stop() noexcept;
  static constexpr int stopped = ECANCELED;

 private:
  int write(std::string_view line) noexcept;
  int fail(int error) noexcept;
  int sync() noexcept;

  Entries entries_;
  Durability durability_;
  bool deferred_ = false;
  std::shared_mutex moving_;  // held shared while a line is on its way
  std::mutex writing_;        // while it is written
  std::atomic<int> error_{0};
  std::atomic<std::uint64_t> written_{0};
  std::mutex sync_mutex_;
  std::condition_variable sync_done_;
  std::uint64_t synced_ = 0;  // of written_; under sync_mutex_, as is what follows
  bool syncing_ = false;
};

/// What the supervisor sends to a process that appends, with one descriptor, when a segment is full. It calls
/// Appender::move_to() with that, and answers (each with an event of its own); the old segment ends when all have
/// answered.
inline constexpr std::string_view segment_message = "segment";

// ---- tree (RFC 6962 §2.1) -------------------------------------------------------------------------------------------

Hash leaf_hash(std::string_view data) noexcept;
Hash node_hash(const Hash& left, const Hash& right) noexcept;

/// The tree head of a growing list, in O(log n) memory.
class Tree {
 public:
  void add(const Hash& leaf);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] Hash root() const noexcept;  // MTH({}) for the empty list
  /// The heads of the perfect subtrees that the list falls into, largest first: one for each bit of its size.
  [[nodiscard]] std::span<const Hash> peaks() const noexcept { return peaks_; }
  /// Goes on from there. False, and no change, when `peaks` are not as many as `size` has.
  bool restore(std::uint64_t size, std::vector<Hash> peaks);

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> peaks_;
};

// ---- keys and notes -------------------------------------------------------------------------------------------------

/// An Ed25519 key pair, or only its public half, with its note name.
class Key {
 public:
  /// Names are those of C2SP signed-note: UTF-8 without spaces and '+', not empty; else Refusal.
  static Key generate(std::string name);
  static Key from_seed(std::string name, std::span<const std::uint8_t, 32> seed);
  static Key from_public(std::string name, const std::array<std::uint8_t, 32>& bytes);
  static Key from_vkey(std::string_view vkey);  // throws Refusal on anything but the one valid form
  /// A key whose private half is elsewhere: `signer` signs, or throws. What it gives is checked.
  using Signer = std::function<std::array<std::uint8_t, 64>(std::string_view message)>;
  [[nodiscard]] Key signing_by(Signer signer) const;
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] std::string vkey() const;  // name+hex(keyid)+base64(0x01||pub)
  [[nodiscard]] std::array<std::uint8_t, 4> id() const noexcept;
  [[nodiscard]] std::array<std::uint8_t, 32> public_bytes() const noexcept;
  [[nodiscard]] std::array<std::uint8_t, 64> sign(
      std::string_view message) const;  // needs the private half, else logic_error
  [[nodiscard]] bool verify(std::string_view message, std::span<const std::uint8_t> signature) const noexcept;
  /// The same key under another note name.
  [[nodiscard]] Key renamed(std::string name) const;

 private:
  struct State;
  explicit Key(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;  // private bytes: locked in memory, not dumped, wiped in a forked child
};

/// A signed note: text (ends in LF) and its signature lines.
std::string sign_note(std::string_view text, std::span<const Key* const> keys);
struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};
};
std::string checkpoint_text(const Checkpoint& checkpoint);

/// "agent-run/<first 16 hex of SHA-256(pub)>": the name of an identity, and the beginning of its runs' origins.
std::string identity_name(const Key& key);

/// The long-lived identity: $state/identity.key (0600, made on first use) and identity.vkey. The key's note name is
/// identity_name(). Two first uses at once agree on one key. When there is only identity.vkey, the private half is in
/// ssh-agent, which signs. Throws SysError or Refusal (wrong mode or owner, damaged file).
Key load_or_make_identity(const std::filesystem::path& state_directory);
/// Makes an Ed25519 key of ssh-agent the identity: the only one, or the only one whose comment holds `comment`. Throws
/// Refusal when there is none or more than one, or an identity already.
Key adopt_identity(const std::filesystem::path& state_directory, std::string_view comment);

// ---- a run's journal ------------------------------------------------------------------------------------------------

/// When things end. The defaults are those of the format; tests take smaller ones.
struct RunLimits {
  std::int64_t segment_bytes = 64LL << 20;
  std::uint64_t epoch_records = 65'536;
  std::int64_t epoch_ns = 60'000'000'000;
};

/// A journal being written: made by the supervisor before the sandbox exists. A Run that is destroyed without close()
/// leaves what a crash would: a journal that verifies as incomplete.
class Run {
 public:
  /// Makes $state/runs/<run-id>/, the first segment, epoch key 0 and its certificate, and reserves the space that
  /// fail() takes. `run_id`: see new_run_id(). The folder is locked (flock(2)) for as long as this object lives: who
  /// gets the lock knows that the run is over. Throws SysError (call, object, errno) when the disk will not take it,
  /// Refusal on an id that is not one.
  static Run create(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                    const RunLimits& limits = {});
  Run(Run&&) noexcept;
  Run& operator=(Run&&) noexcept;
  ~Run();

  [[nodiscard]] const std::filesystem::path& directory() const noexcept;
  [[nodiscard]] const std::string& origin() const noexcept;
  [[nodiscard]] const std::vector<std::string>& vkeys() const noexcept;  // identity and epoch 0, for journal.open
  [[nodiscard]] const std::string& certificate() const noexcept;         // the note in `keycert`

  /// For a process that appends, one each: the segment that is being written, and a ledger. What stands in a segment
  /// and in no ledger was written by somebody else, and ends the run. Such a process is forked before the next appender
  /// is made: later children do not have its ledger. Throws SysError.
  [[nodiscard]] Entries appender();
  /// A new O_APPEND|O_WRONLY descriptor of the segment that is being written: where a process moves to
  /// (Appender::move_to()).
  [[nodiscard]] Fd segment() const;
  /// Readable when absorb() should be called soon: writers will wait for it.
  [[nodiscard]] const Fd& wake() const noexcept;

  /// Sealer: hashes what was appended since the last call. Returns the number of records seen now. Throws SysError;
  /// altered_errno when the files do not hold what was appended, and nothing else.
  std::uint64_t absorb();
  /// True when a checkpoint is due: 256 records or 100 ms since the last one and something new.
  [[nodiscard]] bool due(std::int64_t boot_ns) const noexcept;
  /// Signs the present head with the epoch key and replaces `checkpoint` (new file, rename: readers see one or the
  /// other, also after kill -9; nothing is fsynced before close()). Throws SysError.
  void sign(std::int64_t boot_ns);

  /// The segment being written is full, and no other one waits to end.
  [[nodiscard]] bool segment_full() const noexcept;
  /// Makes the next segment: appender() gives descriptors of it. Each writer is to be moved there. Throws SysError.
  void begin_segment();
  /// Every writer has moved, or is dead: absorbs what the old segment still holds, and goes on with the next one.
  /// Throws SysError; EIO when the old one ends inside a record.
  void end_segment();
  [[nodiscard]] bool segment_ending() const noexcept;

  /// 65,536 records or 60 s since the epoch began, and no key waits for its turn.
  [[nodiscard]] bool epoch_due(std::int64_t boot_ns) const noexcept;
  /// Makes the next key and gives the record (key.rotate) that announces it, for the caller to append. When absorb()
  /// meets that line, it signs the tree up to it with the present key, erases that, and goes on with the next one.
  std::string begin_epoch(const std::string& run_id);
  [[nodiscard]] unsigned epoch() const noexcept;

  /// fdatasync(2) of the segment's records needs a descriptor that may be used in another thread: a duplicate. Throws.
  [[nodiscard]] Fd records() const;

  /// The journal cannot be written any more (`error`: the name of the errno) and every writer is dead: cuts half a
  /// record off the end, and writes journal.fail as the last record, into the space that was reserved; then signs, as
  /// far as that is possible. What somebody else wrote is cut off too, and the records that it stood between are
  /// written again from the ledgers. The journal stays incomplete. False when not even this could be written.
  bool fail(const std::string& run_id, std::string_view error, std::string_view what) noexcept;

  /// Absorbs the rest, sees that the files are those that were written, signs the last head with the epoch key and the
  /// identity, appends it to `epochs`, replaces `checkpoint`, erases the epoch key. `synced`: fdatasync(2) of the
  /// records, then of the checkpoint; it takes most of the time of a short run. Gives the closing note, empty the
  /// second time. Throws SysError.
  std::string close(Durability durability = Durability::synced);
  [[nodiscard]] std::uint64_t size() const noexcept;
  /// How many of them are decisions.
  [[nodiscard]] std::uint64_t decisions() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
  explicit Run(std::unique_ptr<State>);
};

/// Of the SysError that says that a run's files are not what its writers made of them.
inline constexpr int altered_errno = EBADMSG;

/// Sorts by time and is unique: "20261122T103000123-<8 hex>".
std::string new_run_id();

// ---- reading --------------------------------------------------------------------------------------------------------

struct RunInfo {
  std::string id;
  std::filesystem::path directory;
  bool closed = false;  // it has a closing checkpoint; whether that is true is verify()'s matter
};
/// The runs under $state/runs, oldest first. None when the folder is absent. Throws SysError.
std::vector<RunInfo> list_runs(const std::filesystem::path& state_directory);
/// The folder of the run with this id, of the only one whose id starts so, or of the latest when it is empty. Throws
/// Refusal when there is none or more than one.
std::filesystem::path find_run(const std::filesystem::path& state_directory, std::string_view id_or_prefix = {});

struct ShowOptions {
  std::uint64_t first = 0;                       // index of the first record to give
  std::uint64_t count = UINT64_MAX;              // at most so many
  std::string type;                              // only records of this type; empty: all
  std::optional<std::string>* broken = nullptr;  // gets why the rest cannot be read as records, when it cannot
};
/// Streams the whole lines (without LF) of a run in order, over all segments, in bounded memory, until `each` says
/// false. Returns how many were given. Nothing is verified. Throws SysError.
std::uint64_t show(const std::filesystem::path& run_directory, const ShowOptions& options,
                   const std::function<bool(std::uint64_t index, std::string_view line)>& each);

// ---- verification ---------------------------------------------------------------------------------------------------

enum class Status : std::uint8_t { complete, tampered, incomplete, no_key, truncated, forked };
std::string_view name(Status) noexcept;  // "COMPLETE", …
struct Finding {
  std::string rule;     // "V3"
  std::string where;    // "record 17 (entries.000000.jsonl line 18)"
  std::string message;  // one line
};
struct Report {
  Status status = Status::incomplete;
  std::string origin;
  std::uint64_t records = 0;         // whole lines found
  std::uint64_t signed_records = 0;  // size of the largest checkpoint whose signatures hold
  std::uint64_t torn_bytes = 0;      // after the last LF
  std::uint64_t epochs = 0;          // closed ones whose signatures hold
  Hash root{};                       // of all whole lines found
  Hash signed_root{};                // of the first `signed_records`
  std::string opening;               // the first record, when that is a journal.open; to be believed as the status is
  std::vector<Finding> findings;
  [[nodiscard]] int exit_code() const noexcept;  // 0, 1, 3, 4 (agent-run-journal(5), VERIFICATION)
};

/// A checkpoint that somebody else has seen: a witness, syslog, the index of journals (rule V6).
struct Anchor {
  std::string where;                      // for the findings: "anchors.txt note 2"
  std::string origin;                     // of the journal that it is about; may be empty when there is a note
  std::string note;                       // the whole signed note, or
  std::optional<Checkpoint> head;         // only what it would say, or
  std::string first_key;                  // only the vkey of epoch 0, or
  std::optional<std::int64_t> pruned_at;  // when (ns) its records were removed on purpose, signed, or
  std::string stamp;                      // a time stamp of a checkpoint: the DER of a TimeStampResp (RFC 3161)
  bool kept = false;                      // it is a file of the run's folder: damaged, it is a fault of the journal
  std::string fault;                      // that the run was found damaged: why
  std::string gap;                        // that it cannot be told what the index has seen: why
};
/// The notes of a file, one after the other, lines that are not part of one between them; or the one time stamp that it
/// is. Throws SysError, and Refusal when there is none.
std::vector<Anchor> read_anchors(const std::filesystem::path& file);

struct VerifyOptions {
  std::span<const Anchor> anchors{};  // those of other journals are passed over
  std::string_view
      authorities{};  // certificates (PEM) of those who may vouch for time stamps; empty: nobody is asked for
  /// Called now and then with the bytes read so far and the bytes there are.
  std::function<void(std::uint64_t done, std::uint64_t all)> progress{};
};

/// Checks a run's folder with public data only; it must be called as the run is. `trusted`: vkeys of identities that
/// the caller trusts; a certificate by another key is Status::no_key. Throws SysError when the folder cannot be read,
/// Refusal for an anchor that is damaged.
Report verify(const std::filesystem::path& run_directory, std::span<const std::string> trusted,
              const VerifyOptions& options = {});

}  // namespace agentrun::journal
