-- Reads the source.
grant select on events to events_reader;

-- Writes the target, and stores checkpoints beside it.
grant select, insert, update on events_copy to events_writer;
create table headgate_checkpoint (
  key bytea primary key, type text not null, id text not null, target text not null,
  execution text collate "C" not null, checkpoint json, changed_at timestamptz not null default now()
);
grant select, insert, update, delete on headgate_checkpoint to events_writer;

-- Keeps the state of jobs, in a schema of its own.
create schema headgate authorization jobs_keeper;
