-- Without an activity filter, only repeated rows are dropped.
CREATE TABLE active AS FROM inside ANTI JOIN repeats USING (line);
DROP VIEW inside;
DROP TABLE judged;
