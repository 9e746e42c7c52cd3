-- Large objects, 100,000 at scale 1, each of 1 to 8 kB, and a table that refers to them. They come from blobs-objects.sql.
\set ON_ERROR_STOP on

create table public.attachments (
    id int primary key,
    name text not null,
    object oid not null
);
