"""Backups: everything that cannot be had again, encrypted here, kept elsewhere, and brought back from there.

- `creation`: what is of one moment, and in which order it is copied; `event_rows` and `app_rows`: the two stores;
- `sealed_file`, `block_file`, `manifest`: the formats, with their tables;
- `target`: a folder or a bucket; `key`: the key;
- `drafts`: what a backup that was cut short has left to the next one;
- `register`: what the app database knows of backups; `expiry`: when they go;
- `verification` and `restoring`: reading them back.

`server.cli_backup` has the commands, `jobs.backup` the job.
"""
