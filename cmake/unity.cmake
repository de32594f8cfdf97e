# SPDX-License-Identifier: Apache-2.0
# The sanitizer presets compile several sources of a library at once
# (CMAKE_UNITY_BUILD), so that they read the same headers less often. These stay
# by themselves, because a private name of theirs stands in another source of the
# same target too.
foreach(alone
    "vellum_cli;tools/cmd_tables.cc")
  list(POP_FRONT alone target)
  list(TRANSFORM alone PREPEND ${CMAKE_SOURCE_DIR}/)
  set_source_files_properties(${alone} TARGET_DIRECTORY ${target}
      PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endforeach()
