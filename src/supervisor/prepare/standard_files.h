// Standard input, output and error, as agent-run was given them: the command gets the same.
#pragma once

namespace agentrun::supervisor {

/// They are the terminal, and this process is of the job in its foreground: keys are for it.
bool is_interactive();
/// One of them is a terminal, or one controls this process: the command could open /dev/tty outside.
bool has_terminal();
/// Throws Refusal: one of them is a directory, which would be a way around the mount view (openat(2)), or a socket of
/// the host's network that could send where it likes.
void refuse_standard_files();

}  // namespace agentrun::supervisor
