// Ed25519 keys (RFC 8032) with note names. The private half is a seed in a page of its own, which is locked (mlock(2)),
// excluded from core files (MADV_DONTDUMP) and zeroed in forked children (MADV_WIPEONFORK, madvise(2)). OpenSSL gets a
// copy for the time of one signature and cleanses it.
#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

#include "journal/format/encode.h"
#include "journal/format/openssl.h"
#include "journal/format/random.h"

namespace agentrun::journal {

void prepare_openssl() noexcept {
  // Skip what costs time and is not used: tables of names, error texts, and the clean-up at exit.
  constexpr std::uint64_t without = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
                                    OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
                                    OPENSSL_INIT_NO_ATEXIT;
  ::OPENSSL_init_crypto(without, nullptr);
  // Register the digest names of time stamps first: a digest fetched earlier is never found by a later name.
  for (const EVP_MD* digest : {EVP_sha256(), EVP_sha384(), EVP_sha512()}) EVP_add_digest(digest);
}

namespace {

using Public = std::array<std::uint8_t, 32>;
using KeyId = std::array<std::uint8_t, 4>;
constexpr char algorithm_ed25519 = 0x01;  // C2SP signed-note, signature types
constexpr std::size_t page_size = 4096;

struct SecretPage {
  std::array<std::uint8_t, 32> seed;
  std::uint8_t present;  // 0 in a forked child: the page was wiped
};

struct PageTraits {
  using value_type = SecretPage*;
  static constexpr value_type empty = nullptr;
  static void release(value_type page) noexcept {
    OPENSSL_cleanse(page, sizeof *page);
    ::munmap(page, page_size);
  }
};
using Page = Owned<PageTraits>;

Page make_page() {
  void* memory = ::mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap", "key page");
  Page page(static_cast<SecretPage*>(memory));
  // ENOMEM, EPERM: RLIMIT_MEMLOCK is exhausted or 0 (mlock(2)). The key may reach swap; continue.
  if (::mlock(memory, page_size) != 0 && errno != ENOMEM && errno != EPERM) throw_errno("mlock", "key page");
  check(::madvise(memory, page_size, MADV_DONTDUMP), "madvise", "MADV_DONTDUMP");
  check(::madvise(memory, page_size, MADV_WIPEONFORK), "madvise", "MADV_WIPEONFORK");
  return page;
}

using Pkey = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, Releaser<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Releaser<EVP_MD_CTX_free>>;

[[noreturn]] void fail(std::string_view call) {
  throw SysError(EIO, call, "Ed25519");
}

Public derive_public(std::span<const std::uint8_t, 32> seed) {
  prepare_openssl();
  const Pkey pkey(::EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  Public bytes{};
  std::size_t size = bytes.size();
  if (!pkey || ::EVP_PKEY_get_raw_public_key(pkey.get(), bytes.data(), &size) != 1)
    fail("EVP_PKEY_new_raw_private_key");
  return bytes;
}

/// Passes both halves: from the private one alone, OpenSSL would derive the public one again for each signature.
Pkey key_pair(SecretPage& page, Public bytes) {
  prepare_openssl();
  const PkeyContext context(::EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
  std::array<OSSL_PARAM, 3> halves{
      ::OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, page.seed.data(), page.seed.size()),
      ::OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes.data(), bytes.size()),
      ::OSSL_PARAM_construct_end()};
  EVP_PKEY* pkey = nullptr;
  if (!context || ::EVP_PKEY_fromdata_init(context.get()) != 1 ||
      ::EVP_PKEY_fromdata(context.get(), &pkey, EVP_PKEY_KEYPAIR, halves.data()) != 1) {
    fail("EVP_PKEY_fromdata");
  }
  return Pkey(pkey);
}

std::array<std::uint8_t, 33> typed(const Public& bytes) {
  std::array<std::uint8_t, 33> result{static_cast<std::uint8_t>(algorithm_ed25519)};
  std::ranges::copy(bytes, result.begin() + 1);
  return result;
}

KeyId key_id(const std::string& name, const Public& bytes) {
  std::string input = name;
  input.append({'\n', algorithm_ed25519});
  input.append(bytes.begin(), bytes.end());
  const Hash hash = sha256(input);
  KeyId id{};
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

void require_name(const std::string& name) {
  if (!is_key_name(name)) throw Refusal("invalid key name: \"" + name + "\"");
}

}  // namespace

struct Key::State {
  std::string name;
  Public public_bytes{};
  KeyId id{};
  std::shared_ptr<const Page> page;  // null: only the public half, or `signer` has the private one
  Signer signer;

  State(std::string key_name, const Public& bytes, std::shared_ptr<const Page> secret)
      : name(std::move(key_name)), public_bytes(bytes), id(key_id(name, bytes)), page(std::move(secret)) {}
};

namespace {
std::shared_ptr<const Page> filled(auto&& fill) {
  auto page = std::make_shared<Page>(make_page());
  fill(page->get()->seed);
  page->get()->present = 1;
  return page;
}
}  // namespace

Key Key::generate(std::string name) {
  require_name(name);
  auto page = filled([](std::array<std::uint8_t, 32>& target) { fill_random(target); });
  const Public bytes = derive_public(page->get()->seed);
  return Key(std::make_shared<const State>(std::move(name), bytes, std::move(page)));
}

Key Key::from_seed(std::string name, std::span<const std::uint8_t, 32> seed) {
  require_name(name);
  auto page = filled([&](std::array<std::uint8_t, 32>& target) { std::ranges::copy(seed, target.begin()); });
  const Public bytes = derive_public(page->get()->seed);
  return Key(std::make_shared<const State>(std::move(name), bytes, std::move(page)));
}

Key Key::from_public(std::string name, const Public& bytes) {
  require_name(name);
  return Key(std::make_shared<const State>(std::move(name), bytes, nullptr));
}

Key Key::from_vkey(std::string_view vkey) {
  const Refusal refusal("not a verifier key: \"" + std::string(vkey.substr(0, 200)) + "\"",
                        "a verifier key reads <name>+<8 hex digits>+<base64>, see identity.vkey");
  const std::size_t first = vkey.find('+');
  const std::size_t second = first == std::string_view::npos ? first : vkey.find('+', first + 1);
  if (second == std::string_view::npos) throw refusal;
  const std::string name(vkey.substr(0, first));
  KeyId id{};
  std::array<std::uint8_t, 33> typed_bytes{};
  if (!is_key_name(name) || !decode_hex(vkey.substr(first + 1, second - first - 1), id)) throw refusal;
  if (decode_base64(vkey.substr(second + 1), typed_bytes) != typed_bytes.size()) throw refusal;
  if (typed_bytes[0] != algorithm_ed25519) throw refusal;
  Public bytes{};
  std::copy(typed_bytes.begin() + 1, typed_bytes.end(), bytes.begin());
  if (key_id(name, bytes) != id) throw refusal;
  return Key(std::make_shared<const State>(name, bytes, nullptr));
}

const std::string& Key::name() const noexcept {
  return state_->name;
}
std::array<std::uint8_t, 4> Key::id() const noexcept {
  return state_->id;
}
std::array<std::uint8_t, 32> Key::public_bytes() const noexcept {
  return state_->public_bytes;
}

std::string Key::vkey() const {
  return state_->name + "+" + hex(state_->id) + "+" + base64(typed(state_->public_bytes));
}

Key Key::renamed(std::string name) const {
  require_name(name);
  auto state = std::make_shared<State>(std::move(name), state_->public_bytes, state_->page);
  state->signer = state_->signer;
  return Key(std::move(state));
}

Key Key::signing_by(Signer signer) const {
  auto state = std::make_shared<State>(state_->name, state_->public_bytes, nullptr);
  state->signer = std::move(signer);
  return Key(std::move(state));
}

std::array<std::uint8_t, 64> Key::sign(std::string_view message) const {
  if (state_->signer) {
    const auto signature = state_->signer(message);
    if (!verify(message, signature)) throw SysError(EKEYREJECTED, "sign", state_->name);
    return signature;
  }
  if (!state_->page) throw std::logic_error("a public key cannot sign");
  if (state_->page->get()->present == 0) throw std::logic_error("the key was wiped by fork");
  const Pkey pkey = key_pair(*state_->page->get(), state_->public_bytes);
  const DigestContext context(::EVP_MD_CTX_new());
  std::array<std::uint8_t, 64> signature{};
  std::size_t size = signature.size();
  const auto bytes = as_bytes(message);
  if (!context || ::EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1 ||
      ::EVP_DigestSign(context.get(), signature.data(), &size, bytes.data(), bytes.size()) != 1 ||
      size != signature.size()) {
    fail("EVP_DigestSign");
  }
  return signature;
}

bool Key::verify(std::string_view message, std::span<const std::uint8_t> signature) const noexcept {
  if (signature.size() != 64) return false;
  prepare_openssl();
  const Public& bytes = state_->public_bytes;
  const Pkey pkey(::EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes.data(), bytes.size()));
  const DigestContext context(::EVP_MD_CTX_new());
  const auto text = as_bytes(message);
  return pkey && context && ::EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         ::EVP_DigestVerify(context.get(), signature.data(), signature.size(), text.data(), text.size()) == 1;
}

std::string identity_name(const Key& key) {
  const auto bytes = key.public_bytes();
  const Hash hash = sha256({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return "agent-run/" + hex(std::span(hash).first(8));
}

}  // namespace agentrun::journal
