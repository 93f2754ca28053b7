// What leaves the journal for others: a page to look at, and records in the formats that collectors of events take.
// Reads journals; writes, signs and verifies none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/journal.h>

namespace agentrun::sink {

/// One self-contained page: decisions over time, processes, files, destinations, denials with their remedies, what
/// verification said. Nothing that the agent named is parsed as HTML or script: it is data, and shown as text; the page
/// allows no script but its own (Content-Security-Policy) and loads nothing. Of the allowed decisions at most 100,000 are
/// in it, of the denied ones too; it says what it leaves out. Throws SysError when the journal cannot be read; what the
/// stream says is the caller's to look at.
void write_report(std::ostream& out, const std::filesystem::path& run_directory, const journal::Report& verified);

}  // namespace agentrun::sink
