// See std.h; for what reads or writes JSON of others.
#ifndef AGENTRUN_PCH_JSON_H  // not "once": it is also compiled by itself
#define AGENTRUN_PCH_JSON_H

#include "std.h"

#include <nlohmann/json.hpp>

#endif
