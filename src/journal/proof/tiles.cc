// Exports a tree as C2SP tlog-tiles: tile/L/N has 256 hashes of level 8·L, tile/entries/N has the records.
#include <agentrun/journal/proof.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>

#include <sys/stat.h>

#include "journal/format/lines.h"
#include "journal/format/note.h"
#include "journal/format/run_files.h"

namespace agentrun::journal {

namespace {

constexpr std::size_t width = 256;

/// Tile 1234067 is named x001/x234/067; the name of a partial tile also has its width.
std::string tile_name(std::uint64_t number, std::size_t count) {
  const auto digits = [](std::uint64_t n) { return std::to_string(1000 + n % 1000).substr(1); };
  std::string name = digits(number);
  while ((number /= 1000) > 0) name = "x" + digits(number) + "/" + name;
  return count == width ? name : name + ".p/" + std::to_string(count);
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  make_directories(path.parent_path().string(), 0700);
  const Fd fd(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "open", path.string()));
  write_all(fd, bytes, path.string());
}

/// The hashes of each level that are not in a tile yet. A full tile adds one hash to the next level.
class Tiles {
 public:
  explicit Tiles(std::filesystem::path target) : target_(std::move(target)) {}
  void add(std::size_t level, const Hash& hash) {
    if (levels_.size() <= level) levels_.resize(level + 1);
    levels_[level].hashes.push_back(hash);
    if (levels_[level].hashes.size() < width) return;
    Tree tree;
    for (const Hash& leaf : levels_[level].hashes) tree.add(leaf);
    flush(level);
    add(level + 1, tree.root());
  }
  void finish() {
    for (std::size_t level = 0; level < levels_.size(); ++level) {
      if (!levels_[level].hashes.empty()) flush(level);
    }
  }

 private:
  struct Level {
    std::vector<Hash> hashes;
    std::uint64_t number = 0;
  };
  void flush(std::size_t level) {
    Level& l = levels_[level];
    const std::string name = tile_name(l.number++, l.hashes.size());
    write_file(target_ / "tile" / std::to_string(level) / name,
               {reinterpret_cast<const char*>(l.hashes.data()), l.hashes.size() * sizeof(Hash)});
    l.hashes.clear();
  }

  std::filesystem::path target_;
  std::vector<Level> levels_;
};

}  // namespace

void export_tiles(const std::filesystem::path& run_directory, const std::filesystem::path& target) {
  const Fd directory = files::open_directory(run_directory.string());
  // Refuses a journal that is not closed or was changed.
  const std::string checkpoint = prove_consistency(run_directory, 0).substr(std::string_view("old 0\n\n").size());
  std::string_view rest = checkpoint;
  const auto note = take_note(rest);
  const auto head = note ? parse_checkpoint(note->text) : std::nullopt;
  if (!head) throw Refusal("not a checkpoint");
  check(::mkdir(target.c_str(), 0700), "mkdir", target.string());
  Tiles tiles(target);
  std::string bundle;
  std::size_t bundled = 0;
  std::uint64_t number = 0;
  const auto flush = [&] {
    if (bundled != 0) write_file(target / "tile" / "entries" / tile_name(number++, bundled), bundle);
    bundle.clear();
    bundled = 0;
  };
  LineReader lines(directory);
  for (Line line; lines.next(line) && line.index < head->size;) {
    tiles.add(0, leaf_hash(line.data));
    bundle.push_back(static_cast<char>(line.data.size() >> 8));  // a record has at most 16 KiB
    bundle.push_back(static_cast<char>(line.data.size() & 0xff));
    bundle.append(line.data);
    if (++bundled == width) flush();
  }
  flush();
  tiles.finish();
  write_file(target / "checkpoint", checkpoint);
}

}  // namespace agentrun::journal
