#include "journal/evidence.h"

#include <agentrun/sys/error.h>

#include <algorithm>
#include <array>

#include "journal/encode.h"
#include "journal/files.h"
#include "journal/note.h"

namespace agentrun::journal {

namespace {

constexpr std::size_t max_notes = 64U << 20;  // bytes of a file of notes: a note a 4096 records lasts for 10^9 records
constexpr std::string_view certificate_version = "agent-run/keycert/v1";

struct Certificate {
  std::string_view origin;
  std::string_view epoch0;  // vkey
};

/// 2026-11-22T10:30:00Z (RFC 3339, UTC, whole seconds)
bool is_time(std::string_view text) noexcept {
  static constexpr std::string_view shape = "0000-00-00T00:00:00Z";
  const auto fits = [](char c, char s) { return s == '0' ? c >= '0' && c <= '9' : c == s; };
  return text.size() == shape.size() && std::equal(text.begin(), text.end(), shape.begin(), fits);
}

std::optional<Certificate> parse_certificate(std::string_view text) {
  const auto version = take_line(text);
  const auto origin = take_line(text);
  const auto epoch0 = take_line(text);
  const auto time = take_line(text);
  if (!time || !text.empty() || *version != certificate_version || !is_time(*time)) return std::nullopt;
  return Certificate{.origin = *origin, .epoch0 = *epoch0};
}

std::optional<Key> try_vkey(std::string_view vkey) {
  try {
    return Key::from_vkey(vkey);
  } catch (const Refusal&) {
    return std::nullopt;
  }
}

/// True when the note claims, in its text or by the name of a signature, to come from the identity of that name. One
/// altered byte leaves one of the two, so that it is found to be tampering and not taken for a stranger's journal.
bool claims(const Note& note, std::string_view identity) {
  const std::string prefix = std::string(identity) + "/";
  std::string_view text = note.text;
  (void)take_line(text);
  const auto origin = take_line(text);
  if (origin && origin->starts_with(prefix)) return true;
  return std::ranges::any_of(note.signatures, [&](const NoteSignature& s) { return s.name.starts_with(prefix); });
}

std::optional<Key> find_identity(const Note& note, std::span<const std::string> trusted) {
  for (const std::string& vkey : trusted) {
    const Key key = Key::from_vkey(vkey);
    if (claims(note, identity_name(key))) return key;
  }
  return std::nullopt;
}

/// The reason why the certificate does not hold, or nothing.
std::optional<std::string> certificate_fault(const Note& note, const Certificate& certificate, const Key& identity) {
  const std::string prefix = identity_name(identity) + "/";
  if (!certificate.origin.starts_with(prefix) || !files::is_run_id(certificate.origin.substr(prefix.size()))) {
    return "the origin is not one of the identity that signed it";
  }
  const std::string origin(certificate.origin);
  if (signed_by(note, identity.renamed(origin)) != Signed::valid) return "the identity's signature does not hold";
  const auto epoch0 = try_vkey(certificate.epoch0);
  if (!epoch0 || epoch0->name() != origin + "/e0") return "not the key of epoch 0 of this origin";
  return std::nullopt;
}

bool has_content(const Fd& directory) {
  for (const char* name : {files::checkpoint, files::epochs, files::recent, files::hashes}) {
    const auto content = files::try_read(directory, name, max_notes);
    if (content && !content->empty()) return true;
  }
  const auto fd = files::try_open(directory, files::segment(0));
  char first = 0;
  return fd && ::pread(fd->get(), &first, 1, 0) != 0;
}

/// Which signatures a checkpoint needs, by the file that keeps it.
enum class Needs : std::uint8_t { epoch, epoch_and_identity };

std::optional<Checkpoint> checked(const Note& note, const Authority& authority, const Key& epoch, Needs needs,
                                  const std::string& where, Findings& findings) {
  auto checkpoint = parse_checkpoint(note.text);
  if (!checkpoint) {
    findings.fault("V7", where, "not a checkpoint");
    return std::nullopt;
  }
  if (checkpoint->origin != authority.origin) {
    findings.fault("V1", where, "the checkpoint of another journal: " + checkpoint->origin);
    return std::nullopt;
  }
  if (signed_by(note, epoch) != Signed::valid) {
    findings.fault("V1", where, "the signature of " + epoch.name() + " does not hold");
    return std::nullopt;
  }
  const Signed identity = signed_by(note, authority.identity);
  if (identity == Signed::invalid || (identity == Signed::absent && needs == Needs::epoch_and_identity)) {
    findings.fault("V1", where, "the signature of the identity does not hold");
    return std::nullopt;
  }
  return checkpoint;
}

/// Calls `each(note, where)` for the notes of a file, until one is malformed.
void for_each_note(const Fd& directory, const char* name, Findings& findings, auto&& each) {
  const auto content = files::try_read(directory, name, max_notes);
  if (!content) return;
  std::string_view rest = *content;
  for (std::size_t number = 1; !rest.empty() || number == 1; ++number) {
    const std::string where = std::string(name) + " note " + std::to_string(number);
    const auto note = take_note(rest);
    if (!note) return findings.fault("V7", where, "not a signed note");
    each(*note, where);
  }
}

void read_epochs(const Fd& directory, Authority& authority, Findings& findings, std::vector<Head>& heads) {
  std::size_t closed = 0;
  for_each_note(directory, files::epochs, findings, [&](const Note& note, const std::string& where) {
    if (closed == authority.epochs.size()) return findings.fault("V2", where, "closes an epoch that never began");
    Epoch& epoch = authority.epochs[closed++];
    auto checkpoint = checked(note, authority, epoch.key, Needs::epoch_and_identity, where, findings);
    if (!checkpoint) return;
    epoch.closing = *checkpoint;
    heads.push_back({.checkpoint = std::move(*checkpoint), .where = where});
  });
}

void read_checkpoint(const Fd& directory, const Authority& authority, Findings& findings, std::vector<Head>& heads) {
  const auto content = files::try_read(directory, files::checkpoint, max_note);
  if (!content) return findings.gap("V5", files::checkpoint, "there is none");
  std::string_view rest = *content;
  const auto note = take_note(rest);
  if (!note || !rest.empty()) return findings.fault("V7", files::checkpoint, "not a signed note");
  const Epoch& epoch = authority.epochs.back();
  const Needs needs = epoch.closing ? Needs::epoch_and_identity : Needs::epoch;
  auto checkpoint = checked(*note, authority, epoch.key, needs, files::checkpoint, findings);
  if (!checkpoint) return;
  if (epoch.closing && (checkpoint->size != epoch.closing->size || checkpoint->root != epoch.closing->root)) {
    findings.fault("V2", files::checkpoint, "is not the one that closed its epoch");
  }
  if (!epoch.closing && signed_by(*note, authority.identity) == Signed::valid) {
    findings.fault("V2", files::epochs, "the closing checkpoint is missing");
  }
  heads.push_back({.checkpoint = std::move(*checkpoint), .where = files::checkpoint});
}

void read_recent(const Fd& directory, const Authority& authority, Findings& findings, std::vector<Head>& heads) {
  const Epoch& epoch = authority.epochs.back();
  for_each_note(directory, files::recent, findings, [&](const Note& note, const std::string& where) {
    auto checkpoint = checked(note, authority, epoch.key, Needs::epoch, where, findings);
    if (!checkpoint) return;
    if (epoch.closing && checkpoint->size > epoch.closing->size) {
      return findings.fault("V2", where, "covers records after the end of its epoch");
    }
    heads.push_back({.checkpoint = std::move(*checkpoint), .where = where});
  });
}

}  // namespace

std::optional<Authority> read_authority(const Fd& directory, std::span<const std::string> trusted, Findings& findings,
                                        Trust& trust) {
  trust = Trust::checked;
  const auto content = files::try_read(directory, files::keycert, max_note);
  if (!content) {
    if (has_content(directory))
      findings.fault("V1", files::keycert, "there is none");
    else
      findings.gap("V5", files::keycert, "there is none, and nothing else");
    return std::nullopt;
  }
  std::string_view rest = *content;
  const auto note = take_note(rest);
  const auto identity = note ? find_identity(*note, trusted) : std::nullopt;
  const auto certificate = note && rest.empty() ? parse_certificate(note->text) : std::nullopt;
  if (note && !identity) {
    trust = Trust::no_key;
    findings.gap("V1", files::keycert, "signed by " + std::string(note->signatures[0].name) + ", which is not trusted");
    return std::nullopt;
  }
  if (!certificate) {
    findings.fault("V7", files::keycert, "not a certificate in the form of a signed note");
    return std::nullopt;
  }
  if (const auto fault = certificate_fault(*note, *certificate, *identity)) {
    findings.fault("V1", files::keycert, *fault);
    return std::nullopt;
  }
  const std::string origin(certificate->origin);
  return Authority{.origin = origin,
                   .identity = identity->renamed(origin),
                   .epochs = {{.key = Key::from_vkey(certificate->epoch0), .closing = std::nullopt}}};
}

std::vector<Head> read_heads(const Fd& directory, Authority& authority, Findings& findings) {
  std::vector<Head> heads;
  read_epochs(directory, authority, findings, heads);
  read_checkpoint(directory, authority, findings, heads);
  read_recent(directory, authority, findings, heads);
  std::ranges::stable_sort(heads, {}, [](const Head& head) { return head.checkpoint.size; });
  return heads;
}

}  // namespace agentrun::journal
