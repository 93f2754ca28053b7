// What this room asks of OpenSSL before it uses it.
#pragma once

namespace agentrun::journal {

/// What OpenSSL would read and register at its first use costs a millisecond and nothing here needs it: no openssl.cnf
/// (which could also load foreign modules into the process that holds the keys), no tables of old names. Call it before
/// anything of EVP.
void prepare_openssl() noexcept;  // key.cc

/// For std::unique_ptr: OpenSSL frees each kind of object by a function of its own.
template <auto Free>
struct Releaser {
  template <typename T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

}  // namespace agentrun::journal
