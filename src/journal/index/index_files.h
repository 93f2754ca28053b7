// What the writer (index_writer.cc) and the readers (index_read.cc, index_verify.cc) of the index of journals share.
#pragma once

#include <agentrun/journal/index.h>
#include <agentrun/sys/process.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "journal/format/note.h"

namespace agentrun::journal::index {

inline constexpr const char* name = "index";
inline constexpr const char* state = "state";
inline constexpr std::int64_t max_tail = 1 << 20;  // bytes that a process may leave unsigned when it dies
inline constexpr std::string_view aside_prefix = "index.broken-";

inline void times(Record& record) {
  record.word("t", static_cast<std::uint64_t>(wall_clock_ns())).word("tb", static_cast<std::uint64_t>(boot_clock_ns()));
}

/// "ORIGIN SIZE base64(ROOT)"
std::optional<Before> parse_words(std::string_view words);
/// The head in a run.close or journal.recovered.
std::optional<Before> head_of(std::string_view line);

/// How an unsigned record proves itself: a run.open by the certificate of its run (a member, or the file in the run's
/// directory), a run.close by the closing note in it. `key`: the identity, under any name.
enum class Proof : std::uint8_t { none, opening, closing };
Proof proof_of(std::string_view line, const Key& key, const std::filesystem::path& state_directory);

/// What an index says about a run in records that are signed or prove themselves.
struct RunEntry {
  std::string where;            // "index record 3"
  std::vector<Anchor> anchors;  // run.open, run.close, journal.recovered, run.pruned
  std::optional<Before> end;    // how it ended
  bool opened = false;
  bool closed = false;       // by run.close
  std::int64_t since = 0;    // wall clock (ns) of its last record
  bool is_signed = false;    // a signed head covers these records
  bool may_be_gone = false;  // its absence was recorded after the retention time
};

/// The content of an index.
struct View {
  std::string where;         // "index", or the directory where it was set aside
  std::vector<Hash> leaves;  // of all complete lines; none without a signed head
  std::uint64_t torn_bytes = 0;
  bool leads = false;     // the records lead to the signed head
  std::string malformed;  // why not all of it is readable
  std::map<std::string, RunEntry> runs;
  std::set<std::string> claimed;              // runs that only unsigned records name
  std::vector<Anchor> remembered;             // heads that runs had in memory when they ended
  std::string previous, previous_checkpoint;  // from index.open: the damaged index before this one
};
/// `head`: the signed head, if there is one.
View read_view(const Fd& directory, const std::string& where, const Key& key, const std::optional<Checkpoint>& head,
               const std::filesystem::path& state_directory);
/// The indexes that were set aside before this one, newest first. `absent` receives the name of one that is missing.
std::vector<View> views_set_aside(const View& newest, const Key& key, const std::filesystem::path& state_directory,
                                  std::string& absent);

/// The root of the first `size` leaves; nullopt if there are fewer.
std::optional<Hash> root_at(const std::vector<Hash>& leaves, std::uint64_t size);

/// True when something other than a directory is there; a symbolic link is not a directory.
bool is_no_directory(const std::filesystem::path& path);

/// nullopt when it is absent. Throws SysError.
std::optional<Fd> try_directory(const std::filesystem::path& path);

/// The head of an index, its signer, and whether the signature is valid.
struct SignedHead {
  std::string content;  // of `checkpoint`; `note` points into it
  std::optional<Note> note;
  std::optional<Checkpoint> head;
  std::optional<Key> key;  // the trusted key whose name it has
  bool is_valid = false;
};
/// Throws SysError.
SignedHead read_signed_head(const Fd& directory, std::span<const std::string> trusted);

}  // namespace agentrun::journal::index
