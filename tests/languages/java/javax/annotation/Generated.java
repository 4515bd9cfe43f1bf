package javax.annotation;

/** What generated classes carry. It left the JDK with version 11, and this is all that the compiler needs of it. */
public @interface Generated {
    String[] value();

    String date() default "";

    String comments() default "";
}
