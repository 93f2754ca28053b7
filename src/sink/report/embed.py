#!/usr/bin/python3
"""Build-time program: files → C++ raw string literals. embed.py OUTPUT NAME=FILE…"""

import sys

with open(sys.argv[1], "w") as out:
    for word in sys.argv[2:]:
        name, path = word.split("=", 1)
        with open(path) as file:
            text = file.read()
        assert ')embedded"' not in text, path
        out.write(f'constexpr std::string_view {name} = R"embedded({text})embedded";\n')
