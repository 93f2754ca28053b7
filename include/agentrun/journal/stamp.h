// Time stamps (RFC 3161): somebody whose clock others trust signs that the bytes of a checkpoint were there at a time.
// What is asked and what is answered are files; how they travel is not this room's matter.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal {

inline constexpr std::size_t max_stamp =
    64 * 1024;  // bytes of a reply; with a chain of certificates they have about 6,000

/// A request to stamp exactly these bytes: the DER of a TimeStampReq with their SHA-256, without a nonce (a reply that
/// was given before is as true), and with the wish for the authority's certificate.
std::string stamp_query(std::string_view bytes);

struct Query {
  std::uint64_t records = 0;  // that the checkpoint covers
  std::string der;
  std::filesystem::path file;  // where it is usually written: stamp.N.tsq in the folder of the run
};
/// Keeps the newest checkpoint of a run as stamp.N.note, since `checkpoint` goes on in a run that does, and gives the
/// request for it. Throws SysError, and Refusal when there is no checkpoint.
Query ask_stamp(const std::filesystem::path& run_directory);

/// Who answers for a stamp. `broken`: its own signature does not hold, or its certificate is not in it.
enum class Vouched : std::uint8_t { trusted, not_asked, untrusted, broken };
struct Stamp {
  Hash imprint{};
  std::string time;       // 2026-11-22T10:30:00Z
  std::string authority;  // the subject of its certificate, as it stands there: not escaped
  Vouched vouched = Vouched::broken;
};
/// Reads a TimeStampResp. `authorities`: certificates (PEM) of those who may vouch for the signer, at the time that the
/// stamp names; when it is empty only the signature is checked. Whether one was withdrawn is not asked. nullopt for
/// what is not the one form, was not granted, or is of another hash than SHA-256. Throws Refusal when `authorities`
/// holds no certificate.
std::optional<Stamp> read_stamp(std::string_view der, std::string_view authorities);

struct KeptStamp {
  std::filesystem::path file;  // stamp.N.tsr
  std::uint64_t records = 0;
  Stamp stamp;
};
/// Keeps a reply beside the checkpoint that it is about, on the disk. Throws SysError; Refusal when it is not a reply,
/// is of other bytes than those that were asked about, does not hold, is by nobody trusted, or another one is kept.
KeptStamp keep_stamp(const std::filesystem::path& run_directory, std::string_view reply, std::string_view authorities);

}  // namespace agentrun::journal
