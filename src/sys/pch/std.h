// Precompiled for the builds of scripts/test (meson option b_pch). A build by hand does without, so that each file
// includes what it uses.
#ifndef AGENTRUN_PCH_H  // not "once": it is also compiled by itself
#define AGENTRUN_PCH_H

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#endif
