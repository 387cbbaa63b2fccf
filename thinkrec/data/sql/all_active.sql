-- Where no count of interactions is asked for, only repeated rows go.
CREATE TABLE active AS FROM inside ANTI JOIN repeats USING (line);
DROP VIEW inside;
DROP TABLE judged;
