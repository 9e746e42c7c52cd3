-- Few rows with large values: 240 at scale 1, each with one value of 1 to 10 MB, more than 1 GB on the disk. The rows come
-- from toast-rows.sql.
\set ON_ERROR_STOP on

create table public.files (
    id int primary key,
    name text not null,
    content bytea not null
);
-- Already compressed, as most files are.
alter table public.files alter content set storage external;

create table public.pages (
    id int primary key,
    title text not null,
    body text not null
);

create table public.documents (
    id int primary key,
    document jsonb not null
);
