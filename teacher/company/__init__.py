"""Teachers in company: members that are trained apart, and whose predictions together are the teacher's."""
