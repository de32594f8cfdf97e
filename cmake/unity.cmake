# SPDX-License-Identifier: Apache-2.0
# The sanitizer presets compile several sources at once (CMAKE_UNITY_BUILD), so
# that they read the same headers less often. These stay by themselves, because a
# private name of theirs stands in another source of the same target too.
foreach(alone
    "vellum_media;media/udf/fid.cc;media/udf/file_entry.cc"
    "vellum_media;media/udf/lvid.cc;media/udf/record.cc"
    "vellum_index;index/volume_names.cc"
    "vellum_copy;copy/history.cc;copy/medium_notes.cc"
    "vellum_fs;fs/commands.cc;fs/fuse_ops_xattr.cc;fs/image_session.cc"
    "vellum_cli;tools/cmd_tables.cc;tools/job_wait.cc"
    "media_test;tests/media/lease_planner_test.cc"
    "udf_format_test;tests/udf/names_test.cc"
    "vellum_fuzz_targets;tests/fuzz/journal_target.cc")
  list(POP_FRONT alone target)
  list(TRANSFORM alone PREPEND ${CMAKE_SOURCE_DIR}/)
  set_source_files_properties(${alone} TARGET_DIRECTORY ${target}
      PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endforeach()
