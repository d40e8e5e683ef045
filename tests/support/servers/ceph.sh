#!/usr/bin/env bash
# ceph.sh up|down DIR: a Ceph cluster of one monitor, one OSD and radosgw (S3) on 127.0.0.1.
# up starts what does not run, and takes the ports from CEPH_RGW_PORT and CEPH_MON_PORT.
set -euo pipefail
umask 022
DIR=$2
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"
export CEPH_CONF="$DIR/ceph.conf"

if [ "$1" = down ]; then
  for name in rgw osd mon; do stop "$name"; done
  exit 0
fi

mkdir -p "$DIR"/{log,run,mon.a,osd.0,rgw}
[ "$(id -u)" = 0 ] || die "a Ceph cluster takes root"
install ceph-mon ceph-osd radosgw curl

configure() {
  # Without tcp_nodelay a small GET takes 40 ms more. Without mgr, I/O, users and quotas work.
  # The short paxos intervals make pools in milliseconds; the short watch timeout lets a radosgw
  # that follows a killed one make buckets at once. The gateway needs the mode crc where auth is none.
  cat >"$DIR/ceph.conf.tmp" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_initial_members = a
mon_host = [v2:127.0.0.1:$CEPH_MON_PORT/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_type = async+posix
ms_async_op_threads = 2
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
keyring = $DIR/keyring
run_dir = $DIR/run
pid_file =
admin_socket = $DIR/run/\$name.asok
log_file = $DIR/log/\$name.log
log_to_stderr = false
err_to_stderr = true
mon_cluster_log_file = $DIR/log/cluster.log
crash_dir = $DIR/log
debug_default = 0
max_open_files = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000

[mon]
mon_data = $DIR/mon.\$id
mon_data_avail_warn = 2
mon_data_avail_crit = 1
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_osd_down_out_interval = 86400

[osd]
osd_data = $DIR/osd.\$id
osd_objectstore = bluestore
bluestore_block_create = true
bluestore_block_size = 8589934592
bluestore_fsck_on_mount = false
osd_memory_target = 1073741824
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_heartbeat_grace = 60
osd_client_watch_timeout = 5
osd_scrub_begin_hour = 3
osd_scrub_end_hour = 4
osd_class_default_list = *
osd_class_load_list = *
osd_max_object_name_len = 256
osd_max_object_namespace_len = 64

[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$CEPH_RGW_PORT tcp_nodelay=1
rgw_scheduler_type = throttler
rgw_data = $DIR/rgw
ms_mon_client_mode = crc secure
rgw_thread_pool_size = 32
rgw_enable_usage_log = false
rgw_gc_obj_min_wait = 30
rgw_gc_processor_period = 30
rgw_dynamic_resharding = false
rgw_run_sync_thread = false
rgw_dns_name = 127.0.0.1
rgw_relaxed_region_enforcement = true
rgw_rados_pool_pg_num_min = 8
CONF
  mv "$DIR/ceph.conf.tmp" "$DIR/ceph.conf"
}

make_monitor() {
  local fsid who
  fsid=$(awk '$1 == "fsid" {print $3}' "$DIR/ceph.conf")
  rm -rf "$DIR/mon.a" "$DIR/keyring"
  mkdir "$DIR/mon.a"
  ceph-authtool --create-keyring "$DIR/keyring" --gen-key -n mon. --cap mon 'allow *'
  for who in client.admin osd.0 client.rgw; do
    ceph-authtool "$DIR/keyring" --gen-key -n "$who" --cap mon 'allow *' --cap osd 'allow *'
  done
  monmaptool --create --clobber --fsid "$fsid" --enable-all-features \
    --addv a "[v2:127.0.0.1:$CEPH_MON_PORT]" "$DIR/monmap"
  ceph-mon -c "$CEPH_CONF" -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring"
  touch "$DIR/mon.a/.made"
}

make_osd() {
  local id
  rm -rf "$DIR/osd.0"
  mkdir "$DIR/osd.0"
  id=$(cat /proc/sys/kernel/random/uuid)
  timeout 30 ceph osd new "$id" 0
  ceph-osd -c "$CEPH_CONF" -i 0 --mkfs --osd-uuid "$id" --setuser root --setgroup root
  touch "$DIR/osd.0/.made"
}

make_user() {
  timeout 60 radosgw-admin -n client.admin user create --uid=test --display-name=test \
    --access-key="$CEPH_KEY" --secret-key="$CEPH_SECRET"
  touch "$DIR/rgw/.user"
}

osd_is_up() { timeout 10 ceph osd stat | grep -q '1 up'; }
gateway_answers() { fetch "http://127.0.0.1:$CEPH_RGW_PORT/" | grep -q ListAllMyBucketsResult; }

setup="$DIR/log/setup.log"
[ -e "$DIR/ceph.conf" ] || configure
[ -e "$DIR/mon.a/.made" ] || make_monitor >>"$setup" 2>&1 || die "the monitor cannot be made"
start mon ceph-mon -c "$CEPH_CONF" -i a -f
await mon 30 timeout 10 ceph mon stat
[ -e "$DIR/osd.0/.made" ] || make_osd >>"$setup" 2>&1 || die "the OSD cannot be made"
start osd ceph-osd -c "$CEPH_CONF" -i 0 -f
await osd 90 osd_is_up
start rgw radosgw -c "$CEPH_CONF" -n client.rgw -f
[ -e "$DIR/rgw/.user" ] || make_user >>"$setup" 2>&1 || die "the user cannot be made"
await rgw 90 gateway_answers
