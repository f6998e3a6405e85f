import com.pixelmed.validate.DicomSRValidator;
import java.lang.reflect.Field;
import javax.xml.transform.Source;
import javax.xml.transform.Transformer;
import javax.xml.transform.URIResolver;

/**
 * Validates many structured reports in one machine: the style sheets take longer to compile than to use.
 *
 * The validator's own resolver hands its table of context groups out without a name. The transformer then does not know
 * that it has it already and parses 660 kB anew for every code it looks up. Here the table gets its name; what is
 * checked stays the same.
 */
public class ValidateMany {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String name : new String[] {"transformerPass1", "transformerPass2"}) {
            Field field = DicomSRValidator.class.getDeclaredField(name);
            field.setAccessible(true);
            nameSources((Transformer) field.get(validator));
        }
        for (String path : paths) {
            System.out.println("FILE " + path);
            System.out.println(validator.validate(path));
        }
    }

    private static void nameSources(Transformer transformer) {
        URIResolver own = transformer.getURIResolver();
        if (own == null) {
            return;
        }
        transformer.setURIResolver((href, base) -> {
            Source source = own.resolve(href, base);
            if (source != null && source.getSystemId() == null) {
                source.setSystemId(href);
            }
            return source;
        });
    }
}
