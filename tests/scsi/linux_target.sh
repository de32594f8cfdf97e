#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# linux_target.sh PROGRAM ARGUMENT...: in a guest, runs the program with
# VELLUM_SCSI_LINUX, a disk of Linux's own target (LIO: a file behind tcm_loop).
# It has no write cache, so it refuses DPO and FUA, and answers no REPORT
# SUPPORTED OPERATION CODES.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
modprobe -a tcm_loop target_core_file
target=/sys/kernel/config/target
[[ -d $target ]] || mount -t configfs configfs /sys/kernel/config
disk=$target/core/fileio_0/disk
mkdir -p "$disk"
echo "fd_dev_name=/run/linux_target.img,fd_dev_size=$((32 << 20))" \
  >"$disk/control"
echo 1 >"$disk/enable"
echo 2048 >"$disk/attrib/block_size"
# Only so it tells how many blocks one WRITE SAME may fill.
echo 1 >"$disk/attrib/emulate_tpws"
echo LINUX0001 >"$disk/wwn/vpd_unit_serial"
group=$target/loopback/naa.6001405000000001/tpgt_1
mkdir -p "$group/lun/lun_0"
echo naa.6001405000000002 >"$group/nexus"
ln -s "$disk" "$group/lun/lun_0/disk"
find_device() { lsscsi -g | awk '/LIO-ORG/ {print $NF}'; }
until [[ $(find_device) == /dev/sg* ]]; do sleep 0.05; done
VELLUM_SCSI_LINUX=$(find_device)
export VELLUM_SCSI_LINUX
exec "$@"
