// See src/sys/pch.h.
#ifndef AGENTRUN_UNIT_PCH_H  // not "once": it is also compiled by itself
#define AGENTRUN_UNIT_PCH_H

#include <doctest/doctest.h>

#include "../../src/sys/pch.h"

#endif
