// The files of the identity. identity.key is one line, in the form of private keys in golang.org/x/mod/sumdb/note:
// PRIVATE+KEY+<name>+<key id>+<base64(0x01 || seed)>.
#include <agentrun/journal.h>
#include <agentrun/journal/state_shape.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>

#include "journal/format/encode.h"
#include "journal/format/random.h"
#include "journal/format/run_files.h"
#include "journal/write/ssh_agent.h"

namespace agentrun::journal {

namespace {

constexpr std::string_view private_prefix = "PRIVATE+KEY+";

/// Text that contains the seed. The destructor wipes it.
class SecretText {
 public:
  SecretText() { text_.reserve(capacity); }
  explicit SecretText(std::string text) : text_(std::move(text)) {}
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { OPENSSL_cleanse(text_.data(), text_.capacity()); }
  static constexpr std::size_t capacity = 512;
  std::string& operator*() noexcept { return text_; }

 private:
  std::string text_;
};

struct Seed {
  std::array<std::uint8_t, 33> typed{};  // 0x01 || seed
  ~Seed() { OPENSSL_cleanse(typed.data(), typed.size()); }
  [[nodiscard]] std::span<const std::uint8_t, 32> bytes() const { return std::span(typed).subspan<1>(); }
};

std::string path_of(const std::filesystem::path& directory, const char* name) {
  return (directory / name).string();
}

Fd open_state(const std::filesystem::path& path) {
  make_directories(path.string(), 0700);
  Fd directory = files::open_directory(path.string());
  struct stat st {};
  check(::fstat(directory.get(), &st), "fstat", path.string());
  if (st.st_uid != ::geteuid())
    throw Refusal(path.string() + " belongs to another user",
                  "name a directory of your own, with --journal if you used it, otherwise with XDG_STATE_HOME");
  if ((st.st_mode & 022) != 0) throw Refusal("other users may write to " + path.string(), "chmod 700 " + path.string());
  return directory;
}

void check_key_file(const Fd& fd, const std::string& path) {
  struct stat st {};
  check(::fstat(fd.get(), &st), "fstat", path);
  if (st.st_uid != ::geteuid()) {
    throw Refusal(path + " belongs to another user", "remove it, or run agent-run as its owner");
  }
  if ((st.st_mode & 07777) != 0600) throw Refusal(path + " must have mode 0600", "chmod 600 " + path);
  // Another name of the file could be readable for an agent.
  if (st.st_nlink > 1)
    throw Refusal(path + " has another name (a hard link)",
                  "find it with find DIRECTORY -xdev -inum " + std::to_string(st.st_ino) +
                      " and remove it; if an agent could have read it, move identity.key and identity.vkey away: the "
                      "next run makes a new identity");
}

[[noreturn]] void refuse_damaged(const std::string& path) {
  throw Refusal(path + " is damaged",
                "restore it from a backup, or move identity.key and identity.vkey away: the next run makes a new "
                "identity, whose key verifiers need");
}

Key parse_identity(std::string_view text, const std::string& path) {
  if (!text.starts_with(private_prefix) || !text.ends_with('\n')) refuse_damaged(path);
  text.remove_prefix(private_prefix.size());
  text.remove_suffix(1);
  const std::size_t first = text.find('+');
  const std::size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos) refuse_damaged(path);
  Seed seed;
  std::array<std::uint8_t, 4> id{};
  if (!is_key_name(text.substr(0, first)) || !decode_hex(text.substr(first + 1, second - first - 1), id) ||
      decode_base64(text.substr(second + 1), seed.typed) != seed.typed.size() || seed.typed[0] != 0x01) {
    refuse_damaged(path);
  }
  Key key = Key::from_seed(std::string(text.substr(0, first)), seed.bytes());
  if (key.name() != identity_name(key) || key.id() != id) refuse_damaged(path);
  return key;
}

std::optional<Key> try_load(const Fd& directory, const std::string& path) {
  const auto fd = files::try_open(directory, files::identity_key);
  if (!fd) return std::nullopt;
  check_key_file(*fd, path);
  SecretText text;
  (*text).resize(SecretText::capacity);
  const ssize_t n = check(retry_eintr([&] { return ::read(fd->get(), (*text).data(), (*text).size()); }), "read", path);
  (*text).resize(static_cast<std::size_t>(n));
  return parse_identity(*text, path);
}

/// Gives the file its final name, or returns the errno if that name is taken. Uses link(2) where the file system has no
/// RENAME_NOREPLACE.
int publish(const Fd& directory, const std::string& temporary) {
  if (::renameat2(directory.get(), temporary.c_str(), directory.get(), files::identity_key, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  return ::linkat(directory.get(), temporary.c_str(), directory.get(), files::identity_key, 0) == 0 ? 0 : errno;
}

/// Writes the file under another name and publishes it. If another process was faster, its key counts. The seed must be
/// on disk before anything is signed with it.
void make_identity(const Fd& directory, const std::string& path) {
  Seed seed;
  seed.typed[0] = 0x01;
  fill_random(std::span(seed.typed).subspan<1>());
  const Key unnamed = Key::from_seed("agent-run", seed.bytes());
  const Key key = unnamed.renamed(identity_name(unnamed));
  SecretText encoded(base64(seed.typed));
  SecretText text;
  (*text).append(private_prefix).append(key.name()).append("+").append(hex(key.id())).append("+");
  (*text).append(*encoded).append("\n");
  const std::string temporary = std::string(files::identity_key) + "." + files::random_suffix();
  const Fd fd = files::make(directory, temporary, O_WRONLY);
  int error = 0;
  try {
    write_all(fd, *text, path);
    check(::fsync(fd.get()), "fsync", path);
    error = publish(directory, temporary);
  } catch (const SysError& failure) {
    error = failure.error();
  }
  ::unlinkat(directory.get(), temporary.c_str(), 0);
  if (error != 0 && error != EEXIST) throw SysError(error, "make", path);
  check(::fsync(directory.get()), "fsync", path);
}

/// The file with the public half, for users to hand out. It is derived: made again if it is missing, refused if it is
/// wrong.
void ensure_vkey(const Fd& directory, const Key& key, const std::string& path) {
  const std::string line = key.vkey() + "\n";
  const auto present = files::try_read(directory, files::identity_vkey, SecretText::capacity);
  if (!present)
    files::replace(directory, files::identity_vkey, line, files::Sync::data);
  else if (*present != line)
    throw Refusal(path + " does not belong to identity.key", "remove " + path);
}

Key held_by_agent(const Key& key) {
  return key.signing_by([bytes = key.public_bytes()](std::string_view message) {
    return ssh_agent::sign(ssh_agent::socket_path(), bytes, message);
  });
}

/// The identity of which only the public half is in the directory.
std::optional<Key> try_load_agents(const Fd& directory, const std::string& path) {
  auto line = files::try_read(directory, files::identity_vkey, SecretText::capacity);
  if (!line) return std::nullopt;
  if (line->ends_with('\n')) line->pop_back();
  const Key key = Key::from_vkey(*line);
  if (key.name() != identity_name(key)) refuse_damaged(path);
  return held_by_agent(key);
}

}  // namespace

void require_state_directory(const std::string& path) {
  (void)open_state(path);
}

Key adopt_identity(const std::filesystem::path& state_directory, std::string_view comment) {
  const Fd directory = open_state(state_directory);
  for (const char* name : {files::identity_key, files::identity_vkey}) {
    if (files::try_open(directory, name))
      throw Refusal("there is already an identity: " + path_of(state_directory, name),
                    "name another directory with --journal, or move it away; verifiers need the key of a new one");
  }
  std::vector<ssh_agent::Held> fitting = ssh_agent::list(ssh_agent::socket_path());
  std::erase_if(fitting, [&](const ssh_agent::Held& held) { return held.comment.find(comment) == std::string::npos; });
  if (fitting.size() != 1) {
    throw Refusal(
        fitting.empty() ? "ssh-agent holds no such Ed25519 key" : "ssh-agent holds more than one such Ed25519 key",
        fitting.empty() ? "make one with ssh-keygen -t ed25519, then ssh-add"
                        : "name a part of the comment that only one has: ssh-add -l");
  }
  const Key unnamed = Key::from_public("agent-run", fitting[0].key);
  const Key key = unnamed.renamed(identity_name(unnamed));
  files::replace(directory, files::identity_vkey, key.vkey() + "\n", files::Sync::data);
  return held_by_agent(key);
}

Key load_or_make_identity(const std::filesystem::path& state_directory) {
  const Fd directory = open_state(state_directory);
  const std::string path = path_of(state_directory, files::identity_key);
  auto key = try_load(directory, path);
  if (!key) {
    if (auto agents = try_load_agents(directory, path_of(state_directory, files::identity_vkey))) return *agents;
  }
  if (!key) {
    make_identity(directory, path);
    key = try_load(directory, path);
  }
  if (!key) throw SysError(ENOENT, "open", path);
  ensure_vkey(directory, *key, path_of(state_directory, files::identity_vkey));
  return *key;
}

}  // namespace agentrun::journal
