// A witness (C2SP tlog-witness): somebody else, who remembers the newest head of each log and cosigns only what
// continues it. What it is given is the index of journals: its origin stays, it grows with every run, and it holds how
// each ended.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// The server's half, without a socket. Its key and what it remembers are in a folder of its own.
class Witness {
 public:
  /// `logs`: vkeys of the identities whose indexes it watches. Throws SysError, Refusal.
  Witness(const std::filesystem::path& state_directory, std::span<const std::string> logs);

  /// Its public key, in the form for cosignatures (tlog-cosignature: type 0x04).
  [[nodiscard]] std::string vkey() const;
  /// The body of POST /add-checkpoint. 200: signature lines; 409: the size that it remembers; 400, 403, 404, 422 as
  /// tlog-witness has them, with a sentence. What it remembers is on the disk before it answers. Throws SysError.
  struct Reply {
    int status = 400;
    std::string body;
  };
  [[nodiscard]] Reply add_checkpoint(std::string_view body);

 private:
  std::filesystem::path state_;
  Key key_;
  std::vector<Key> logs_;
};

/// The client's half: the body for add-checkpoint that continues the index from its first `old_size` records. Throws
/// Refusal when there are not so many, SysError.
std::string submission(const std::filesystem::path& state_directory, std::uint64_t old_size);
/// The index's checkpoint of a submission with the signature lines of a reply appended, when one of them is a
/// cosignature of the witness with this vkey that holds. Throws Refusal.
std::string cosigned(std::string_view submission, std::string_view lines, std::string_view witness_vkey);

}  // namespace agentrun::journal
