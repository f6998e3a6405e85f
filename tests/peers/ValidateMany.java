import com.pixelmed.validate.DicomSRValidator;

/** Validates many structured reports in one machine: the style sheets take longer to compile than to use. */
public class ValidateMany {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("FILE " + path);
            System.out.println(validator.validate(path));
        }
    }
}
