#!/bin/sh
# A dump of the app database, checked and then named; those over two weeks old are removed. PGHOST and the like say where.
# Salts are left out: whoever had them and the addresses could recognise visitors, so they are in no copy of anything.
# After a restore the job `salts` makes new ones.
set -eu
umask 077
folder=${DUMP_FOLDER:-/dumps}
name=footfall-$(date -u +%Y%m%dT%H%M%SZ).dump
pg_dump --format=custom --exclude-table-data=salts --file="$folder/.$name.part"
pg_restore --list "$folder/.$name.part" > /dev/null
mv "$folder/.$name.part" "$folder/$name"
# What a killed run left.
find "$folder" -name '.*.part' -mmin +1440 -exec rm -f {} +
find "$folder" -name 'footfall-*.dump' -mtime +14 -exec rm -f {} +
echo "{\"level\": \"info\", \"message\": \"dumped\", \"file\": \"$name\", \"bytes\": $(wc -c < "$folder/$name")}"
