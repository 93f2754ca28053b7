// Journals of several epochs and segments, and hands that forge them.
#pragma once

#include "journal/format/note.h"
#include "scratch.h"

namespace journal_test {

struct Epochs {
  explicit Epochs(agentrun::journal::RunLimits limits)
      : run(agentrun::journal::Run::create(scratch.path() / "state", identity, agentrun::journal::new_run_id(),
                                           limits)),
        appender(run.appender()) {
    append(life("journal.open", 1));
    turn();
  }
  void append(const std::string& line) { REQUIRE(appender.append(line) == 0); }
  /// What the supervisor's loop does.
  void turn() {
    run.absorb();
    if (run.epoch_due(agentrun::boot_clock_ns())) {
      append(run.begin_epoch("r"));
      run.absorb();
    }
    if (run.segment_full()) {
      run.begin_segment();
      appender.move_to(run.segment());
      run.end_segment();
    }
  }
  void fill(int count) {
    for (int i = 0; i < count; ++i) {
      append(decision(next_++));
      turn();
    }
    run.sign(1);
  }
  void finish() {
    append(life("journal.close", agentrun::boot_clock_ns()));
    run.close();
  }
  [[nodiscard]] agentrun::journal::Report verify() const { return agentrun::journal::verify(run.directory(), trusted); }
  [[nodiscard]] std::filesystem::path file(const char* name) const { return run.directory() / name; }
  [[nodiscard]] std::filesystem::path entries() const { return file("entries.000000.jsonl"); }
  /// The keys of the epochs after the first one, as the records announce them.
  [[nodiscard]] std::vector<agentrun::journal::Key> announced() const {
    std::vector<agentrun::journal::Key> keys;
    agentrun::journal::show(run.directory(), {.type = "key.rotate"}, [&](std::uint64_t, std::string_view line) {
      keys.push_back(agentrun::journal::Key::from_vkey(*agentrun::journal::text_field(line, "vkey")));
      return true;
    });
    return keys;
  }

  Scratch scratch;
  agentrun::journal::Key identity = agentrun::journal::load_or_make_identity(scratch.path() / "state");
  std::vector<std::string> trusted{identity.vkey()};
  agentrun::journal::Run run;
  agentrun::journal::Appender appender;

 private:
  int next_ = 0;
};

/// A checkpoint of the first `size` lines, by `key`.
inline std::string resigned(const std::string& entries, const std::string& origin, const agentrun::journal::Key& key,
                            std::uint64_t size = UINT64_MAX) {
  agentrun::journal::Tree tree;
  for (std::size_t at = 0; at < entries.size() && tree.size() < size;) {
    const std::size_t end = entries.find('\n', at);
    tree.add(agentrun::journal::leaf_hash(std::string_view(entries).substr(at, end - at)));
    at = end + 1;
  }
  const std::array<const agentrun::journal::Key*, 1> keys{&key};
  return agentrun::journal::sign_note(
      agentrun::journal::checkpoint_text({.origin = origin, .size = tree.size(), .root = tree.root()}), keys);
}

inline std::vector<std::uint64_t> sizes_of(std::string_view notes) {
  std::vector<std::uint64_t> sizes;
  while (const auto note = agentrun::journal::take_note(notes))
    sizes.push_back(agentrun::journal::parse_checkpoint(note->text)->size);
  return sizes;
}

}  // namespace journal_test
