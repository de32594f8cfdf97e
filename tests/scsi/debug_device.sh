#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# debug_device.sh PROGRAM ARGUMENT...: in a guest, runs the program with
# VELLUM_SCSI_DEBUG, a magneto-optical drive (type 7) made by the kernel's
# scsi_debug that becomes ready after some seconds.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
# The medium errors begin where the driver can tell the block: from 0x1234 on.
modprobe scsi_debug ptype=7 removable=1 sector_size=2048 dev_size_mb=32 \
  medium_error_start=0x1234 medium_error_count=8 tur_ms_to_ready=6000 no_uld=1
find_device() { lsscsi -g | awk '/scsi_debug/ {print $NF}'; }
until [[ $(find_device) == /dev/sg* ]]; do sleep 0.05; done
VELLUM_SCSI_DEBUG=$(find_device)
export VELLUM_SCSI_DEBUG
exec "$@"
