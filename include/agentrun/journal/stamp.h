// Time stamps (RFC 3161): an authority whose clock others trust signs that a checkpoint existed at a time. Requests and
// replies are files; this module does not send them.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal {

inline constexpr std::size_t max_stamp =
    64 * 1024;  // bytes of a reply; one with a chain of certificates has about 6,000

/// A request to stamp exactly these bytes: the DER of a TimeStampReq with their SHA-256, without a nonce (an earlier
/// reply is as valid), that asks for the authority's certificate.
std::string stamp_query(std::string_view bytes);

struct Query {
  std::uint64_t records = 0;  // covered by the checkpoint
  std::string der;
  std::filesystem::path file;  // where to write it by default: stamp.N.tsq in the run's directory
};
/// Stores the newest checkpoint of a run as stamp.N.note, because `checkpoint` changes while the run goes on, and
/// returns the request for it. Throws SysError, and Refusal when there is no checkpoint.
Query ask_stamp(const std::filesystem::path& run_directory);

/// Whether a trusted authority vouches for a stamp. `broken`: its own signature is invalid, or its certificate is
/// missing.
enum class Vouched : std::uint8_t { trusted, not_asked, untrusted, broken };
struct Stamp {
  Hash imprint{};
  std::string time;       // 2026-11-22T10:30:00Z
  std::string authority;  // the subject of its certificate, not escaped
  Vouched vouched = Vouched::broken;
};
/// Reads a TimeStampResp. `authorities`: certificates (PEM) of those that may vouch for the signer, at the time of the
/// stamp; if it is empty, only the signature is checked. Revocation is not checked. Returns nullopt for anything that
/// is malformed, not granted, or of another hash than SHA-256. Throws Refusal when `authorities` has no certificate.
std::optional<Stamp> read_stamp(std::string_view der, std::string_view authorities);

struct StoredStamp {
  std::filesystem::path file;  // stamp.N.tsr
  std::uint64_t records = 0;
  Stamp stamp;
};
/// Stores a reply durably beside the checkpoint that it stamps. Throws SysError, and Refusal when it is not a valid
/// reply, stamps none of the requested checkpoints, is by an untrusted authority, or another one is stored.
StoredStamp store_stamp(const std::filesystem::path& run_directory, std::string_view reply,
                        std::string_view authorities);

}  // namespace agentrun::journal
