// What the writer (index_writer.cc) and the readers (index_read.cc, index_verify.cc) of the journal of journals share.
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
inline constexpr std::int64_t max_tail = 1 << 20;  // bytes that a process that died may have left unsigned
inline constexpr std::string_view aside_prefix = "index.broken-";

inline void times(Record& record) {
  record.word("t", static_cast<std::uint64_t>(wall_clock_ns())).word("tb", static_cast<std::uint64_t>(boot_clock_ns()));
}

/// "ORIGIN SIZE base64(ROOT)"
std::optional<Before> parse_words(std::string_view words);
/// The head that a run.close or journal.recovered names.
std::optional<Before> head_of(std::string_view line);

/// Whether a record that nobody signed proves itself: a run.open by the certificate of its run (a member, or the file
/// of the run's folder), a run.close by the closing note that it holds. `key`: of the identity, under any name.
enum class Proof : std::uint8_t { none, opening, closing };
Proof proof_of(std::string_view line, const Key& key, const std::filesystem::path& state_directory);

/// What an index says of a run, as far as it is signed or proves itself.
struct RunEntry {
  std::string where;            // "index record 3"
  std::vector<Anchor> anchors;  // run.open, run.close, journal.recovered, run.pruned
  std::optional<Before> end;    // how it ended
  bool opened = false;
  bool closed = false;     // by run.close
  std::int64_t since = 0;  // wall clock (ns) of its last record
  bool sure = false;       // a signed head covers what the index says of it
  bool excused = false;    // its absence was found after the time for which journals are kept
};

/// An index as it was read, once.
struct View {
  std::string where;         // "index", or the folder where it was set aside
  std::vector<Hash> leaves;  // of all whole lines; none without a signed head
  std::uint64_t torn_bytes = 0;
  bool leads = false;     // the records lead to the head that is signed
  std::string malformed;  // why not all of it can be read
  std::map<std::string, RunEntry> runs;
  std::set<std::string> claimed;          // runs that only unsigned records name
  std::vector<Anchor> held;               // heads that runs had in memory when they ended
  std::string broken, broken_checkpoint;  // of index.open: the index before it
};
/// `head`: what is signed of it, if anything is.
View read_view(const Fd& folder, const std::string& where, const Key& key, const std::optional<Checkpoint>& head,
               const std::filesystem::path& state_directory);
/// The indexes that were set aside before this one, newest first. `absent` gets the names of those that are not there.
std::vector<View> views_set_aside(const View& newest, const Key& key, const std::filesystem::path& state_directory,
                                  std::string& absent);

/// The root of the first `size` leaves; nullopt when there are not so many.
std::optional<Hash> root_at(const std::vector<Hash>& leaves, std::uint64_t size);

/// Something is there, and it is no directory: a link is none.
bool is_no_directory(const std::filesystem::path& path);

/// nullopt when there is none. Throws SysError.
std::optional<Fd> try_folder(const std::filesystem::path& path);

/// The signed head of an index: whose it is, and whether the signature holds.
struct SignedHead {
  std::string content;  // of `checkpoint`; `note` points into it
  std::optional<Note> note;
  std::optional<Checkpoint> head;
  std::optional<Key> key;  // the one of the trusted keys that it claims
  bool holds = false;
};
/// Throws SysError.
SignedHead read_signed_head(const Fd& folder, std::span<const std::string> trusted);

}  // namespace agentrun::journal::index
