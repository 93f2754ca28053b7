// What this room asks of OpenSSL before it uses it.
#pragma once

namespace agentrun::journal {

/// What OpenSSL would read and register at its first use costs a millisecond and nothing here needs it: no openssl.cnf
/// (which could also load foreign modules into the process that holds the keys), no tables of old names. Call it before
/// anything of EVP.
void prepare_openssl() noexcept;  // key.cc

}  // namespace agentrun::journal
