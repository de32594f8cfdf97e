#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# user_target.sh PROGRAM ARGUMENT...: in a guest, runs the program with the
# VELLUM_USER_… of a logical unit that the program itself plays (user_target.h).
# H8: what no other target has, over /dev/sg.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
modprobe -a tcm_loop target_core_user
target=/sys/kernel/config/target
[[ -d $target ]] || mount -t configfs configfs /sys/kernel/config
backing=$target/core/user_0/changer
mkdir -p "$backing"
echo "dev_config=vellum/changer,dev_size=1048576,nl_reply_supported=-1" \
  >"$backing/control"
echo 1 >"$backing/enable"
group=$target/loopback/naa.6001405000000011/tpgt_1
mkdir -p "$group/lun/lun_0"
echo naa.6001405000000012 >"$group/nexus"
until uio=$(echo /dev/uio*) && [[ -c $uio ]]; do sleep 0.05; done
export VELLUM_USER_UIO=$uio VELLUM_USER_BACKING=$backing
export VELLUM_USER_UNIT=$group/lun/lun_0/changer
exec "$@"
