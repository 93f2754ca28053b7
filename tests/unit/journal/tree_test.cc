#include <agentrun/journal.h>
#include <doctest/doctest.h>

#include "journal/format/encode.h"

using namespace agentrun::journal;

namespace {
std::string unhex(std::string_view text) {
  std::string bytes(text.size() / 2, '\0');
  REQUIRE(decode_hex(text, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()}));
  return bytes;
}

/// RFC 6962 §2.1 as it is written: the slow definition.
Hash slow_root(std::span<const std::string> leaves) {
  if (leaves.empty()) return sha256({});
  if (leaves.size() == 1) return leaf_hash(leaves[0]);
  std::size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  return node_hash(slow_root(leaves.first(k)), slow_root(leaves.subspan(k)));
}
}  // namespace

TEST_CASE("SHA-256 (FIPS 180-4 examples)") {
  CHECK(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("the tree of the certificate-transparency reference vectors") {
  const std::vector<std::string> inputs{
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  const std::vector<std::string> roots{"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                       "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                       "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                       "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                       "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                       "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                       "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                       "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  Tree tree;
  CHECK(tree.root() == sha256(""));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    tree.add(leaf_hash(unhex(inputs[i])));
    CHECK(tree.size() == i + 1);
    CHECK(hex(tree.root()) == roots[i]);
  }
}

TEST_CASE("the growing tree equals the definition at every size") {
  std::vector<std::string> leaves;
  Tree tree;
  for (int i = 0; i < 130; ++i) {
    leaves.push_back("leaf " + std::to_string(i));
    tree.add(leaf_hash(leaves.back()));
    REQUIRE(tree.root() == slow_root(leaves));
  }
}

TEST_CASE("the golden root of the format") {
  Tree tree;
  Record record;
  for (int i = 0; i < 1000; ++i) {
    record.begin();
    record.text("a", "deny").number("nr", 257).number("seq", i).text("sys", "openat");
    std::string_view line = record.line();
    line.remove_suffix(1);
    tree.add(leaf_hash(line));
  }
  CHECK(base64(tree.root()) == "KQOlH6wPqJZ5W5Jq5dszMzcr53YLAaZy4EkwKlYDuZA=");
}
