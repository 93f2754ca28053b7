// See src/sys/pch/std.h.
#ifndef AGENTRUN_PCH_DOCTEST_H  // not "once": it is also compiled by itself
#define AGENTRUN_PCH_DOCTEST_H

#include <doctest/doctest.h>

#include "../../../src/sys/pch/std.h"

#endif
