-- What the zoo lacks, and damages can be done to. Run after zoo.sql.
\set ON_ERROR_STOP on
\set QUIET on
set search_path = '';
create table zoo.unruly (id int primary key, b bpchar, c varchar(10));
insert into zoo.unruly values (1, 'x', 'y'), (2, 'x  ', 'x  ');
create table zoo.loose_sum (a int, twice int generated always as (a * 2) stored);
insert into zoo.loose_sum values (1), (2);
create collation zoo.unused (locale = 'C');
