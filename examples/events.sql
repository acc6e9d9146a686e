create table events (
  id bigint primary key,
  kind text not null,
  payload jsonb not null,
  happened_at timestamptz not null
);

insert into events
select n,
       (array['login', 'search', 'purchase'])[1 + n % 3],
       jsonb_build_object('user', n % 1000),
       timestamptz '2024-01-01 00:00:00+00' + n * interval '1 second'
from generate_series(1, 500000) n;
