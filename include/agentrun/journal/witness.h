// A witness (C2SP tlog-witness): another party that stores the newest head of each log and cosigns only heads that are
// consistent with it. Its log is the index of journals, which has a stable origin, grows with every run and records how
// each run ended.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// The server's half, without a socket. Its key and the stored heads are in a state directory of their own.
class Witness {
 public:
  /// `logs`: vkeys of the identities whose indexes it watches. Throws SysError, Refusal.
  Witness(const std::filesystem::path& state_directory, std::span<const std::string> logs);

  /// Its public key, in the form for cosignatures (tlog-cosignature: type 0x04).
  [[nodiscard]] std::string vkey() const;
  /// Handles the body of POST /add-checkpoint. Status 200: signature lines; 409: the stored size; 400, 403, 404, 422 as
  /// in tlog-witness, with a sentence. The head is on disk before the function returns. Throws SysError.
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

/// The client's half: the body for add-checkpoint, with a consistency proof from the index's first `old_size` records.
/// Throws SysError, and Refusal when there are fewer.
std::string submission(const std::filesystem::path& state_directory, std::uint64_t old_size);
/// The checkpoint of a submission with the signature lines of a reply appended. Throws Refusal unless one of them is a
/// valid cosignature of the witness with this vkey.
std::string cosigned(std::string_view submission, std::string_view lines, std::string_view witness_vkey);

}  // namespace agentrun::journal
