-- What is to be known of a target that follows its source, for as long as it does; gone with pgconvoy unfollow.
create schema pgconvoy_follow;
comment on schema pgconvoy_follow is 'This database follows another one, or is followed by it; gone with: pgconvoy unfollow.';

-- One row.
create table pgconvoy_follow.state (
    one bool not null primary key default true check (one),
    format int4 not null,
    state text not null,
    changed_at timestamptz not null default pg_catalog.clock_timestamp()
);
