#!/usr/bin/env bash
# hdfs.sh up|down DIR: an HDFS name node and data node with WebHDFS on 127.0.0.1.
# up takes the ports from HDFS_RPC_PORT, HDFS_HTTP_PORT and HDFS_DATA_PORTS (three, with commas), a
# Python with pip from HDFS_PYTHON, and the folder that keeps the jars from HDFS_JARS.
set -euo pipefail
DIR=$2
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

if [ "$1" = down ]; then
  for name in datanode namenode; do stop "$name"; done
  exit 0
fi

mkdir -p "$DIR"/{conf,log,run,data,webapps} "$HDFS_JARS"
command -v curl >/dev/null || install curl
IFS=, read -ra ports <<<"$HDFS_DATA_PORTS"
java="$JAVA_HOME/bin/java"

# The jars: the source distribution of an old PySpark has those of Hadoop 2.7.3, whose hadoop-hdfs
# still held the servers; Debian has the Jersey 1 that they need.
fetch_jars() {
  local work jar
  work=$(mktemp -d "$HDFS_JARS/.fetch.XXXX")
  # For the metadata pip runs its old setup.py, which needs an old setuptools. Nothing is installed.
  "$HDFS_PYTHON" -m venv "$work/venv"
  "$work/venv/bin/pip" install -q 'setuptools<70' wheel
  "$work/venv/bin/pip" download -q --no-deps --no-binary pyspark --no-build-isolation \
    pyspark==2.4.8 -d "$work"
  tar xzf "$work/pyspark-2.4.8.tar.gz" -C "$work" --strip-components=3 --wildcards \
    'pyspark-2.4.8/deps/jars/*.jar'
  # Without javax.ws.rs-api 2: it hides the jsr311 that Jersey 1 needs.
  for jar in hadoop-annotations hadoop-auth hadoop-common hadoop-hdfs commons-cli commons-codec \
    commons-collections commons-configuration commons-io commons-lang-2 commons-logging \
    commons-digester commons-beanutils commons-net commons-httpclient commons-math3 guava \
    protobuf-java jetty-6 jetty-util log4j-1 slf4j-api slf4j-log4j12 htrace-core netty-3 netty-all \
    xmlenc leveldbjni jackson-core-asl jackson-mapper-asl javax.servlet-api jsp-api activation \
    jaxb-api xercesImpl avro-1 apacheds api- curator zookeeper jsr305 httpclient httpcore gson \
    snappy-java; do
    cp "$work/$jar"*.jar "$HDFS_JARS/"
  done
  (cd "$work" && debian_jars)
  for jar in jersey1-core jersey1-server jersey1-servlet jsr311-api asm-all commons-daemon; do
    cp -L "$work/deb/usr/share/java/$jar.jar" "$HDFS_JARS/deb-$jar.jar"
  done
  rm -rf "$work"
  touch "$HDFS_JARS/.complete"
}

# Unpacked, not installed; an index of packages that is out of date is brought up to date.
debian_jars() {
  local packages=(libjersey1-core-java libjersey1-server-java libjersey1-servlet-java
    libjsr311-api-java libasm-java libcommons-daemon-java) deb
  apt-get download -qq "${packages[@]}" || { apt_get update && apt-get download -qq "${packages[@]}"; }
  for deb in *.deb; do dpkg -x "$deb" deb; done
}

property() { printf '<property><name>%s</name><value>%s</value></property>\n' "$1" "$2"; }

configure() {
  {
    echo '<configuration>'
    property fs.defaultFS "hdfs://127.0.0.1:$HDFS_RPC_PORT"
    property hadoop.tmp.dir "$DIR/data"
    property hadoop.http.staticuser.user root
    property ipc.server.tcpnodelay true
    echo '</configuration>'
  } >"$DIR/conf/core-site.xml"
  {
    echo '<configuration>'
    property dfs.replication 1
    property dfs.namenode.rpc-bind-host 127.0.0.1
    property dfs.namenode.http-address "127.0.0.1:$HDFS_HTTP_PORT"
    property dfs.datanode.address "127.0.0.1:${ports[0]}"
    property dfs.datanode.http.address "127.0.0.1:${ports[1]}"
    property dfs.datanode.ipc.address "127.0.0.1:${ports[2]}"
    property dfs.datanode.hostname localhost
    property dfs.client.use.datanode.hostname true
    property dfs.webhdfs.enabled true
    property dfs.namenode.safemode.extension 0
    property dfs.namenode.datanode.registration.ip-hostname-check false
    property dfs.namenode.fs-limits.min-block-size 1048576
    property dfs.heartbeat.interval 1
    property dfs.namenode.heartbeat.recheck-interval 1000
    property dfs.client.block.write.locateFollowingBlock.initial.delay.ms 20
    echo '</configuration>'
  } >"$DIR/conf/hdfs-site.xml"
  printf '%s\n' 'log4j.rootLogger=INFO,c' 'log4j.appender.c=org.apache.log4j.ConsoleAppender' \
    'log4j.appender.c.layout=org.apache.log4j.PatternLayout' \
    'log4j.appender.c.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n' \
    >"$DIR/conf/log4j.properties"
  local app
  for app in hdfs datanode secondary static; do  # the jar has none
    mkdir -p "$DIR/webapps/webapps/$app/WEB-INF"
    printf '%s\n' '<?xml version="1.0"?>' \
      '<web-app version="2.4" xmlns="http://java.sun.com/xml/ns/j2ee"></web-app>' \
      >"$DIR/webapps/webapps/$app/WEB-INF/web.xml"
  done
}

(
  flock -w 900 9 || die "another process fetches the jars"
  [ -e "$HDFS_JARS/.complete" ] || fetch_jars >>"$DIR/log/fetch.log" 2>&1 || die "no jars of Hadoop"
) 9>"$HDFS_JARS/.lock"
configure
options=(-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true)
for module in java.lang java.nio sun.nio.ch java.util java.io java.net java.util.concurrent; do
  options+=(--add-opens "java.base/$module=ALL-UNNAMED")
done
server=org.apache.hadoop.hdfs.server
command=("$java" "${options[@]}" -cp "$DIR/conf:$HDFS_JARS/*:$DIR/webapps")
[ -e "$DIR/data/dfs/name/current/VERSION" ] ||
  "${command[@]}" $server.namenode.NameNode -format -force -nonInteractive \
    >>"$DIR/log/format.log" 2>&1 || die "the name node cannot be formatted"
start namenode "${command[@]}" $server.namenode.NameNode
start datanode "${command[@]}" $server.datanode.DataNode

# The name node counts a killed data node as live for a while: the data node is asked as well.
answers() {
  local state volumes
  state=$(fetch "http://127.0.0.1:$HDFS_HTTP_PORT/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState")
  volumes=$(fetch "http://127.0.0.1:${ports[1]}/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo")
  grep -q '"NumLiveDataNodes" *: *1' <<<"$state" && grep -q '"FSState" *: *"Operational"' <<<"$state" &&
    grep -q 'freeSpace' <<<"$volumes"
}
await datanode 90 answers
