// See src/pch.h.
#pragma once

#include <doctest/doctest.h>

#include "../../src/pch.h"
