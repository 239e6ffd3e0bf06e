#!/bin/sh
# build.sh SOURCES PROGRAMS: the programs of the Guide that run.py takes, from the folder of its C sources into another.
# Needs a C compiler, CZMQ 4 and libuuid with their headers (Debian: libczmq-dev, uuid-dev).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
cc -shared -fPIC -O2 -o "$2/ports.so" "$here/ports.c" -ldl
for name in mdbroker mdclient mdclient2 mdworker mmiecho titanic ticlient lpclient lpserver ppqueue ppworker \
    rrclient rrworker hwclient hwserver wuclient wuserver psenvpub psenvsub pathopub pathosub lvcache \
    taskvent taskwork tasksink; do
    cc -w -O2 -include "$here/czmq1.h" -o "$2/$name" "$1/$name.c" -lczmq -lzmq -luuid -lpthread
done
