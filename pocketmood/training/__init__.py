"""The training kit that teacher, student and their studies share."""
