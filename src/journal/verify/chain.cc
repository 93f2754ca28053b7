#include "journal/verify/chain.h"

#include <agentrun/sys/error.h>

#include <algorithm>
#include <set>

#include "journal/format/run_files.h"

namespace agentrun::journal {

namespace {

std::optional<Key> announced_key(const Milestones& milestones, std::uint64_t size, const std::string& name) {
  const auto found = milestones.find(size);
  if (found == milestones.end() || found->second.announced.empty()) return std::nullopt;
  try {
    Key key = Key::from_vkey(found->second.announced);
    if (key.name() == name) return key;
  } catch (const Refusal&) {
  }
  return std::nullopt;
}

bool leads_to(const Milestones& milestones, const Checkpoint& checkpoint) {
  const auto found = milestones.find(checkpoint.size);
  return found != milestones.end() && found->second.root == checkpoint.root;
}

class Follower {
 public:
  Follower(const Authority& authority, const Milestones& milestones, Findings& findings)
      : authority_(&authority), milestones_(&milestones), findings_(&findings) {
    chain_.keys.push_back(authority.first);
  }

  /// One closing checkpoint of `epochs`. False when nothing can be said of those after it.
  bool close_epoch(const Kept& kept, bool last) {
    const std::size_t number = chain_.ends.size();
    const std::uint64_t before = number == 0 ? 0 : chain_.ends.back();
    if (chain_.closed) return fault("V2", kept, "follows the checkpoint that closed the journal");
    if (kept.checkpoint.size < before || (number > 0 && kept.checkpoint.size == before)) {
      return fault("V2", kept, "does not follow the epoch before it, which ends at " + std::to_string(before));
    }
    const Signed identity = signed_by(kept.note, authority_->identity);
    if (!is_signed(kept, number)) return false;
    if (identity == Signed::invalid) return fault("V1", kept, "the signature of the identity does not hold");
    chain_.closed = identity == Signed::valid;
    chain_.ends.push_back(kept.checkpoint.size);
    chain_.heads.push_back({kept.checkpoint, kept.where});
    if (chain_.closed) return true;
    if (auto key = announced_key(*milestones_, kept.checkpoint.size, name(number + 1))) {
      chain_.keys.push_back(std::move(*key));
      return true;
    }
    // Where the records are not those that were signed, that is said once, and better, by V3.
    if (leads_to(*milestones_, kept.checkpoint))
      (void)fault("V1", kept,
                  "the last record that it covers does not announce the key of epoch " + std::to_string(number + 1) +
                      (last ? ", and the identity has not closed the journal" : ""));
    broken_ = true;
    return false;
  }

  /// A checkpoint of the time between.
  void see(const Kept& kept) {
    const std::uint64_t size = kept.checkpoint.size;
    const auto end = std::ranges::lower_bound(chain_.ends, size);
    const auto number = static_cast<std::size_t>(end - chain_.ends.begin());
    if (number >= chain_.keys.size()) {
      if (chain_.closed) (void)fault("V2", kept, "covers records after the end of the journal");
      return;  // its key is not known because of what was said already
    }
    if (!is_signed(kept, number)) return;
    const Signed identity = signed_by(kept.note, authority_->identity);
    if (identity == Signed::invalid) {
      (void)fault("V1", kept, "the signature of the identity does not hold");
      return;
    }
    if (identity == Signed::valid && !(chain_.closed && size == chain_.ends.back())) {
      findings_->fault("V2", files::epochs, "the closing checkpoint is missing: " + kept.where + " has it");
    }
    chain_.heads.push_back({kept.checkpoint, kept.where});
  }

  /// `checkpoint` is the newest one.
  void see_newest(const Kept& kept) {
    if (!chain_.ends.empty() && kept.checkpoint.size < chain_.ends.back())
      (void)fault("V2", kept, "is older than the end of the last epoch");
    const auto same =
        std::ranges::find(chain_.heads, kept.checkpoint.size, [](const Head& h) { return h.checkpoint.size; });
    if (same != chain_.heads.end() && same->checkpoint.root != kept.checkpoint.root)
      (void)fault("V2", kept, "is not the one that closed its epoch");
    // Who closes a journal signs the same head twice.
    if (chain_.closed && kept.checkpoint.size == chain_.ends.back() &&
        signed_by(kept.note, authority_->identity) == Signed::absent) {
      (void)fault("V1", kept, "the signature of the identity does not hold");
    }
    see(kept);
  }

  Chain take() {
    std::ranges::stable_sort(chain_.heads, {}, [](const Head& head) { return head.checkpoint.size; });
    return std::move(chain_);
  }
  [[nodiscard]] bool broken() const noexcept { return broken_; }

 private:
  [[nodiscard]] std::string name(std::size_t number) const {
    return authority_->origin + "/e" + std::to_string(number);
  }

  bool fault(std::string_view rule, const Kept& kept, std::string message) {
    findings_->fault(rule, kept.where, std::move(message));
    broken_ = true;
    return false;
  }

  bool is_signed(const Kept& kept, std::size_t number) {
    if (signed_by(kept.note, chain_.keys[number]) == Signed::valid) return true;
    for (const Key& other : chain_.keys) {
      if (signed_by(kept.note, other) == Signed::valid)
        return fault("V2", kept,
                     "signed by " + other.name() + ", but of the records of epoch " + std::to_string(number));
    }
    return fault("V1", kept, "the signature of " + chain_.keys[number].name() + " does not hold");
  }

  const Authority* authority_;
  const Milestones* milestones_;
  Findings* findings_;
  Chain chain_;
  bool broken_ = false;
};

}  // namespace

Chain follow(const Authority& authority, const Evidence& evidence, const Milestones& milestones, Findings& findings) {
  Follower follower(authority, milestones, findings);
  for (const Kept& kept : evidence.epochs) {
    if (!follower.close_epoch(kept, &kept == &evidence.epochs.back())) break;
  }
  // After a break nothing is known about the keys, so nothing would be said rightly about the rest.
  for (const Kept& kept : evidence.newest) {
    if (!follower.broken()) follower.see_newest(kept);
  }
  std::set<std::string_view> seen;  // a note that stands there many times is looked at once
  for (const Kept& kept : evidence.recent) {
    if (!follower.broken() && seen.insert(kept.raw).second) follower.see(kept);
  }
  return follower.take();
}

}  // namespace agentrun::journal
