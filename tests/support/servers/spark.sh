#!/usr/bin/env bash
# spark.sh up|down DIR: a Spark standalone cluster of the pip package on 127.0.0.1.
# up takes SPARK_HOME, JAVA_HOME, the ports SPARK_PORT and SPARK_UI_PORT, and SPARK_WORKERS.
set -euo pipefail
DIR=$2
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

if [ "$1" = down ]; then
  for file in "$DIR"/run/worker*.pid "$DIR/run/master.pid"; do  # executors end with their worker
    if [ -e "$file" ]; then stop "$(basename "$file" .pid)"; fi
  done
  exit 0
fi

mkdir -p "$DIR"/{conf,log,run,work,local}
command -v curl >/dev/null || install curl
export SPARK_LOCAL_IP=127.0.0.1 SPARK_PUBLIC_DNS=127.0.0.1 SPARK_CONF_DIR="$DIR/conf"
export SPARK_NO_DAEMONIZE=1 SPARK_DAEMON_MEMORY=512m SPARK_LOCAL_DIRS="$DIR/local"
export SPARK_DAEMON_JAVA_OPTS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
printf '%s\n' 'spark.master.rest.enabled false' 'spark.worker.timeout 15' >"$DIR/conf/spark-defaults.conf"

# spark-class ends in exec java, so that the process that start knows is the JVM.
deploy() { start "$1" "$SPARK_HOME/bin/spark-class" "org.apache.spark.deploy.${@:2}"; }
master="spark://127.0.0.1:$SPARK_PORT"
deploy master master.Master --host 127.0.0.1 --port "$SPARK_PORT" --webui-port "$SPARK_UI_PORT" \
  --properties-file "$DIR/conf/spark-defaults.conf"
for number in $(seq "$SPARK_WORKERS"); do
  deploy "worker$number" worker.Worker --host 127.0.0.1 --port 0 --webui-port 0 \
    -c 1 -m 2g -d "$DIR/work" --properties-file "$DIR/conf/spark-defaults.conf" "$master"
done

all_workers_live() {
  local live
  live=$(fetch "http://127.0.0.1:$SPARK_UI_PORT/json/" | sed -n 's/.*"aliveworkers"[^0-9]*\([0-9]*\).*/\1/p')
  [ "${live:-0}" -ge "$SPARK_WORKERS" ]
}
await master 120 all_workers_live
