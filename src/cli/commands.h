// The commands. Each takes its words (without its own name) and returns the exit code, or throws Refusal or another
// exception for main to print.
#pragma once

#include <span>
#include <string>

#include <agentrun/sys/inherited.h>

namespace agentrun::cli {

using Words = std::span<const std::string>;

int run_command(Words words, const Inherited& inherited);  // run.cc
int check_command(Words words);                            // explain.cc
int explain_command(Words words);                          // explain.cc
int doctor_command(Words words);                           // doctor.cc
int why_command(Words words);                              // why.cc
int journal_command(Words words);                          // journal.cc
int key_command(Words words);                              // journal.cc
int diff_command(Words words);                             // review.cc
int apply_command(Words words);                            // review.cc
int discard_command(Words words);                          // review.cc

/// "agent-run: what — remedy" on standard error, escaped, one line.
void print_error(const std::string& what, const std::string& remedy);

}  // namespace agentrun::cli
