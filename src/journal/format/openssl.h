// Initialization and ownership of OpenSSL objects.
#pragma once

namespace agentrun::journal {

/// Initializes OpenSSL without openssl.cnf, which could load foreign modules into the process that holds the keys, and
/// without tables of old names; loading both would cost a millisecond. Call it before anything of EVP.
void prepare_openssl() noexcept;  // key.cc

/// A deleter for std::unique_ptr: OpenSSL has a function to free each kind of object.
template <auto Free>
struct Releaser {
  template <typename T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

}  // namespace agentrun::journal
