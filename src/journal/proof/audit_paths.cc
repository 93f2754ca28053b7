// Computes audit paths (RFC 6962 §2.1) and checks them (RFC 9162 §2.1.3.2, §2.1.4.2).
#include <agentrun/journal/proof.h>

#include <algorithm>
#include <bit>

namespace agentrun::journal {

namespace {

Hash head_of(std::span<const Hash> leaves) {
  Tree tree;
  for (const Hash& leaf : leaves) tree.add(leaf);
  return tree.root();
}

/// The largest power of two below `size`, which is at least 2.
std::size_t split_of(std::size_t size) {
  return std::bit_floor(size - 1);
}

}  // namespace

std::vector<Hash> inclusion_path(std::span<const Hash> leaves, std::uint64_t index) {
  std::vector<Hash> path;
  while (leaves.size() > 1) {
    const std::size_t split = split_of(leaves.size());
    if (index < split) {
      path.push_back(head_of(leaves.subspan(split)));
      leaves = leaves.first(split);
    } else {
      path.push_back(head_of(leaves.first(split)));
      leaves = leaves.subspan(split);
      index -= split;
    }
  }
  std::ranges::reverse(path);
  return path;
}

std::vector<Hash> consistency_path(std::span<const Hash> leaves, std::uint64_t old_size) {
  std::vector<Hash> path;
  if (old_size == 0 || old_size >= leaves.size()) return path;
  bool whole = true;  // the old tree is a subtree so far, so its head is omitted
  while (old_size != leaves.size()) {
    const std::size_t split = split_of(leaves.size());
    if (old_size <= split) {
      path.push_back(head_of(leaves.subspan(split)));
      leaves = leaves.first(split);
    } else {
      path.push_back(head_of(leaves.first(split)));
      leaves = leaves.subspan(split);
      old_size -= split;
      whole = false;
    }
  }
  if (!whole) path.push_back(head_of(leaves));
  std::ranges::reverse(path);
  return path;
}

bool includes(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> path, const Hash& root) {
  if (index >= size) return false;
  std::uint64_t node = index;
  std::uint64_t last = size - 1;
  Hash head = leaf;
  for (const Hash& sibling : path) {
    if (last == 0) return false;
    if (node % 2 == 1 || node == last) {
      head = node_hash(sibling, head);
      for (; node % 2 == 0 && node != 0; node >>= 1) last >>= 1;
    } else {
      head = node_hash(head, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && head == root;
}

bool is_consistent(std::uint64_t old_size, const Hash& old_root, std::uint64_t size, const Hash& root,
                   std::span<const Hash> path) {
  if (old_size > size) return false;
  if (old_size == size) return path.empty() && old_root == root;
  if (old_size == 0) return path.empty() && old_root == sha256({});
  std::vector<Hash> nodes(path.begin(), path.end());
  if (std::has_single_bit(old_size)) nodes.insert(nodes.begin(), old_root);
  if (nodes.empty()) return false;
  std::uint64_t node = old_size - 1;
  std::uint64_t last = size - 1;
  for (; node % 2 == 1; node >>= 1) last >>= 1;
  Hash old_head = nodes[0];
  Hash head = nodes[0];
  for (const Hash& sibling : std::span(nodes).subspan(1)) {
    if (last == 0) return false;
    if (node % 2 == 1 || node == last) {
      old_head = node_hash(sibling, old_head);
      head = node_hash(sibling, head);
      for (; node % 2 == 0 && node != 0; node >>= 1) last >>= 1;
    } else {
      head = node_hash(head, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && old_head == old_root && head == root;
}

}  // namespace agentrun::journal
