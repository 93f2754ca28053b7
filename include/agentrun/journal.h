// The journal: records, tree, signed notes, sealing and verification. The only module that uses OpenSSL's signatures.
// Byte formats: agent-run-journal(5); RFC 6962 §2.1, RFC 8785, C2SP signed-note and tlog-checkpoint.
#pragma once

#include <agentrun/journal/append.h>
#include <agentrun/journal/key.h>
#include <agentrun/journal/reader.h>
#include <agentrun/journal/record.h>
#include <agentrun/journal/run.h>
#include <agentrun/journal/tree.h>
#include <agentrun/journal/verify.h>
